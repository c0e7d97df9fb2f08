package snapshotstore

// Explain is explain, for failures that a test cannot provoke on a real disk.
var Explain = explain

// ConnectDSNs returns the names of all kinds of connections.
func ConnectDSNs(path string) []string {
	config := Config{}.withDefaults()
	return []string{
		connectDSN(path, accessCreate, config),
		connectDSN(path, accessWrite, config),
		connectDSN(path, accessRead, config),
	}
}

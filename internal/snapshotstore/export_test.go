package snapshotstore

// Explain is explain, for failures that a test cannot provoke on a real disk.
var Explain = explain

// The queries for a player's rows, whose plans a test looks at.
const (
	SelectNewest        = selectNewest
	SelectPage          = selectPage
	SelectNewestCurrent = selectNewestCurrent
	SelectUnpinned      = selectUnpinned
)

// ConnectDSNs returns the names of all kinds of connections.
func ConnectDSNs(path string) []string {
	return []string{
		connectDSN(path, accessCreate),
		connectDSN(path, accessWrite),
		connectDSN(path, accessRead),
	}
}

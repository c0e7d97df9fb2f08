//go:build !unix

package config

// writable leaves the question to the first write.
func writable(string) error { return nil }

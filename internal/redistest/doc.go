// Package redistest runs real redis-server processes for tests.
//
// Each server listens on a free loopback port, keeps its files in a temporary
// folder of the test and ends with the test. A machine without redis-server
// fails the test and says what to install: a skip would look like a pass.
//
// The package is for tests that carry the build tag "real"; the same scenarios
// run on internal/devredis without it.
package redistest

// Package stage sets up what chaos breaks: one redis-server with an append-only
// file, several worker processes with a proxy each between them and Redis, and
// one SQLite file that all of them share. Everything lives in one folder and
// ends with the process that made it.
package stage

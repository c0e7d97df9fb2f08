// Command syncworker hands players' data from one game server to the next.
//
// One worker runs beside each game server. Its sub-commands, flags and exit
// codes are described by `syncworker --help`; docs/operations.md tells how to
// run it.
package main

import (
	"context"
	"os"
)

func main() {
	os.Exit(execute(context.Background(), os.Args, os.Stdout, os.Stderr))
}

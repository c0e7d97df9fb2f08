package main

import (
	"flag"
	"os"
	"testing"
)

// parallelTests is how many tests run at once. They wait for settle periods and
// leases most of the time, so there may be far more of them than processors.
const parallelTests = "8"

// cleanUps run after all tests.
var cleanUps []func()

func TestMain(m *testing.M) {
	flag.Parse()
	chosen := false
	flag.Visit(func(f *flag.Flag) { chosen = chosen || f.Name == "test.parallel" })
	if !chosen {
		if err := flag.Set("test.parallel", parallelTests); err != nil {
			panic(err)
		}
	}
	code := m.Run()
	for _, cleanUp := range cleanUps {
		cleanUp()
	}
	os.Exit(code)
}

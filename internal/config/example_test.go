package config_test

import (
	"fmt"

	"github.com/syncworker/syncworker/internal/config"
)

func ExampleLoad() {
	c, err := config.Load(config.Source{
		Environ: []string{"SYNCWORKER_SYNC__WAIT_TIMEOUT=45s"},
		Folder:  "/srv/survival-1",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(c.Server.ID, c.Sync.WaitTimeout, c.Snapshots.MaxSize)
	// Output: survival-1 45s 10MiB
}

func ExampleLoad_refused() {
	_, err := config.Load(config.Source{
		Environ: []string{"SYNCWORKER_SYNC__WAIT_TIMEOUT=45"},
		Folder:  "/srv/survival-1",
	})
	fmt.Println(err)
	// Output: configuration refused: SYNCWORKER_SYNC__WAIT_TIMEOUT: sync.wait_timeout is "45": want a time with its unit in quotes, for instance "250ms", "30s" or "4h"
}

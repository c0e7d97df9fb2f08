//go:build unix

package config

import (
	"fmt"
	"syscall"
)

// mayEnterAndWrite is W_OK and X_OK of access(2).
const mayEnterAndWrite = 2 | 1

// writable asks the system whether this user may make files in a folder.
func writable(folder string) error {
	if err := syscall.Access(folder, mayEnterAndWrite); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrBadSpool, folder, err)
	}
	return nil
}

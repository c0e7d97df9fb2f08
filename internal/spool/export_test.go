package spool

import "sync"

// Faults makes the disk of a spool fail, and notes what is asked of it.
type Faults struct {
	// Fail is asked before each step; an error is what the step returns. Steps
	// are create, write, sync, close, rename, remove and sync-folder.
	Fail func(step string) error

	mu    sync.Mutex
	steps []string
}

// OpenFaulty is Open on a disk with faults.
func OpenFaulty(config Config, faults *Faults) (*Spool, error) {
	return open(config, faultyDisk{faults: faults})
}

// Steps returns what was asked since the last call.
func (f *Faults) Steps() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	steps := f.steps
	f.steps = nil
	return steps
}

func (f *Faults) step(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.steps = append(f.steps, name)
	if f.Fail == nil {
		return nil
	}
	return f.Fail(name)
}

type faultyDisk struct {
	realDisk
	faults *Faults
}

func (d faultyDisk) create(path string) (file, error) {
	if err := d.faults.step("create"); err != nil {
		return nil, err
	}
	created, err := d.realDisk.create(path)
	return faultyFile{file: created, faults: d.faults}, err
}

func (d faultyDisk) rename(from, to string) error {
	if err := d.faults.step("rename"); err != nil {
		return err
	}
	return d.realDisk.rename(from, to)
}

func (d faultyDisk) remove(path string) error {
	if err := d.faults.step("remove"); err != nil {
		return err
	}
	return d.realDisk.remove(path)
}

func (d faultyDisk) syncFolder(path string) error {
	if err := d.faults.step("sync-folder"); err != nil {
		return err
	}
	return d.realDisk.syncFolder(path)
}

type faultyFile struct {
	file
	faults *Faults
}

// Write writes half of it when it fails, as a disk does that gets full.
func (f faultyFile) Write(content []byte) (int, error) {
	if err := f.faults.step("write"); err != nil {
		n, _ := f.file.Write(content[:len(content)/2])
		return n, err
	}
	return f.file.Write(content)
}

func (f faultyFile) Sync() error {
	if err := f.faults.step("sync"); err != nil {
		return err
	}
	return f.file.Sync()
}

func (f faultyFile) Close() error {
	err := f.faults.step("close")
	if closeErr := f.file.Close(); err == nil {
		err = closeErr
	}
	return err
}

// Unwrap takes an entry's bytes apart.
var Unwrap = unwrap

package badger

import (
	"math"
	"syscall"
	"time"

	"dxd/record"
)

// upkeepInterval is how often the journal is compacted, if something was
// deleted. Badger compacts by itself only what grows.
const upkeepInterval = time.Hour

// upkeep goes on until Close.
func (s *Store) upkeep() {
	tick := time.NewTicker(upkeepInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := s.compact(); err != nil {
				s.log.Warn("couldn't compact the journal", "error", err)
			}
		case <-s.closing:
			return
		}
	}
}

// compact merges the tables of all levels, so that values deleted before they
// were written there are no longer in them. There is no value log to collect
// (valueThreshold). What is still in a memtable goes when that is full, or
// with Close.
func (s *Store) compact() error {
	if !s.deleted.Swap(false) {
		return nil
	}
	if err := s.checkRoom(s.copyOfAll()); err != nil {
		s.deleted.Store(true)
		return err
	}
	if err := s.db.Flatten(1); err != nil {
		return record.Errorf(record.Internal, "couldn't compact the journal: %w", err)
	}
	return nil
}

// copyOfAll is what a second copy of all tables takes.
func (s *Store) copyOfAll() int64 {
	need := int64(floor)
	for _, t := range s.db.Tables() {
		need += int64(t.OnDiskSize)
	}
	return need
}

// Check reads the whole journal and compares each block with its checksum.
// The error is of kind Damaged.
func (s *Store) Check() error {
	at, ok := s.readers.enter()
	if !ok {
		return errClosed()
	}
	defer s.readers.leave(at)
	if err := s.db.VerifyChecksum(); err != nil {
		return errDamaged(err)
	}
	return nil
}

// Tables is how many tables the journal has, of at most 1 MiB each below level
// 0, and how many it may come to: each is an open file of this process, and a
// map. There are none once the store is closed.
func (s *Store) Tables() (n, most int) {
	most = mostMaps()
	at, ok := s.readers.enter() // the tables' maps go with the database
	if !ok {
		return 0, most
	}
	defer s.readers.leave(at)
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err == nil {
		most = int(min(uint64(most), uint64(files.Cur), math.MaxInt))
	}
	return len(s.db.Tables()), most
}

package badger

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
)

// memTableSize bounds most of what Badger holds in memory. A transaction may
// take 15 % of it: 1.8 MiB, so that a full bundle of messages is received in
// one update.
const memTableSize = 12 << 20

// valueThreshold is where Badger would begin to put values into its value
// log. Ours stay below, in its tables, and the value log stays empty: Badger
// throws away the errors of its syncs (value.go, valueLog.write), does not
// sync the directory when it begins a file, and gives deleted values back
// late, by a garbage collection that a compaction has to come before.
const valueThreshold = 1 << 20

// tuned is Badger for a daemon that shares its machine.
func tuned(dir string, log *logger) badger.Options {
	o := badger.DefaultOptions(dir)
	o.Logger = log
	o.MetricsEnabled = false
	o.MemTableSize = memTableSize

	// A compaction builds some 13 tables at a time in memory, of twice the size
	// of each. As Badger has it, that size doubles with each level that a growing
	// journal needs; and of a value that is larger than a block it makes three
	// copies there, each time that the value moves down (docs/decisions/0162).
	o.BaseTableSize = 1 << 20
	o.TableSizeMultiplier = 1
	o.BlockSize = 64 << 10

	o.NumMemtables = 2
	o.ValueThreshold = valueThreshold
	o.ValueLogFileSize = 1 << 20 // the least; it stays empty
	o.NumCompactors = 2          // the least
	o.NumLevelZeroTables = 5     // of 12 MiB each: what is below is rewritten for each of these rounds
	o.NumLevelZeroTablesStall = 12
	o.BaseLevelSize = 64 << 20 // a level less
	o.CompactL0OnClose = true  // what was deleted is gone after a stop

	// Each table's checksums are compared once, when it is opened: a bit that
	// flipped in a key would hide its row without a word, since only values
	// are authenticated. (Not at each read of a block as well: Badger's
	// iterators take a block that does not hold for the end.)
	o.ChecksumVerificationMode = options.OnTableRead

	// Sealed values don't compress, and without compression Badger reads
	// from its maps and needs no cache. Each value is authenticated when it
	// is opened.
	o.Compression = options.None
	o.BlockCacheSize = 0

	// The very file that took the entries is synced after each commit, by us
	// where we can (wal.sync). DB.Sync afterwards might meet the next memtable
	// and miss them. Badger's own sync within the commit has a second one, of
	// the empty value log.
	o.SyncWrites = !mapsAreFiles

	// One goroutine writes, and it knows the time of each commit: views read
	// at the last durable one, without waiting for the one under way.
	o.DetectConflicts = false
	return o
}

// logger passes on what Badger says, without the keys that may be part of it.
type logger struct{ log *slog.Logger }

func (l *logger) Errorf(format string, args ...any)   { l.tell(slog.LevelWarn, format, args) }
func (l *logger) Warningf(format string, args ...any) { l.tell(slog.LevelDebug, format, args) }
func (l *logger) Infof(format string, args ...any)    { l.tell(slog.LevelDebug, format, args) }
func (l *logger) Debugf(format string, args ...any)   { l.tell(slog.LevelDebug, format, args) }

func (l *logger) tell(level slog.Level, format string, args []any) {
	if !l.log.Enabled(context.Background(), level) {
		return
	}
	shown := make([]any, len(args))
	for i, a := range args {
		shown[i] = plain(a)
	}
	l.log.Log(context.Background(), level, "from the journal's database",
		"text", strings.TrimSpace(fmt.Sprintf(format, shown...)))
}

// plain keeps numbers and errors, and hides whatever else may hold a key.
func plain(arg any) any {
	switch arg.(type) {
	case int, int32, int64, uint32, uint64, float64, time.Duration, error:
		return arg
	}
	return obscured{}
}

type obscured struct{}

// Format stands in for any verb.
func (obscured) Format(f fmt.State, _ rune) { io.WriteString(f, "…") }

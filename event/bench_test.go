package event_test

import (
	"testing"

	"dxd/blobstore"
	"dxd/event"
)

// BenchmarkAppend appends the events of a bundle of 100 messages in one update.
func BenchmarkAppend(b *testing.B) {
	h := newHouse(b)
	b.ReportAllocs()
	for b.Loop() {
		check(b, h.Update(b.Context(), func(tx blobstore.Tx) error {
			for range 100 {
				if err := appendOne(tx); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	b.ReportMetric(float64(100*b.N)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkPage reads a page of 1,000 events, as whoever follows the log.
func BenchmarkPage(b *testing.B) {
	h := newHouse(b)
	h.append(1000)
	b.ReportAllocs()
	for b.Loop() {
		check(b, h.View(b.Context(), func(tx blobstore.ReadTx) error {
			_, err := event.After(tx, 0, 1000)
			return err
		}))
	}
}

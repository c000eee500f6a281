package main

import (
	"context"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"dxd/client"
	"dxd/record"
)

// acks acknowledges events while others are printed: what has come together
// while one acknowledgement was under way goes into the next, so that a burst
// costs a few of them.
type acks struct {
	latest atomic.Int64  // that standard output has taken
	some   chan struct{} // holds a token when latest has grown
	ended  chan error
	acked  int64 // the goroutine's alone
}

// ackPatience is how long an acknowledgement may take; a command that is
// interrupted waits that long for its last one.
const ackPatience = 5 * time.Second

func acknowledging(ctx context.Context, c *client.Client, name string) *acks {
	a := &acks{some: make(chan struct{}, 1), ended: make(chan error, 1)}
	// What was printed is acknowledged also if the command is interrupted.
	ctx = context.WithoutCancel(ctx)
	go func() {
		for range a.some {
			a.bring(ctx, c, name)
		}
		a.ended <- a.bring(ctx, c, name) // once more, if the last attempt failed
	}()
	return a
}

// bring acknowledges what was printed by now, unless it is already.
func (a *acks) bring(ctx context.Context, c *client.Client, name string) error {
	seq := a.latest.Load()
	if seq == a.acked {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, ackPatience)
	defer cancel()
	err := c.Acknowledge(ctx, name, seq)
	if err == nil {
		a.acked = seq
	}
	return err
}

// ack takes note of an event that was printed. It does not wait.
func (a *acks) ack(seq int64) {
	a.latest.Store(seq)
	select {
	case a.some <- struct{}{}:
	default: // one is there already
	}
}

// wait acknowledges what is left. That an earlier attempt failed does not
// matter: the last one covers it.
func (a *acks) wait() error {
	close(a.some)
	err := <-a.ended
	if err == nil {
		return nil
	}
	return record.WithHint(record.Errorf(record.KindOf(err), "couldn't acknowledge the last events: %w", err), "they come again under this name")
}

func (a *app) ackCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "ack NAME SEQ",
		Short: "Acknowledge all events up to a number",
		Long: `Acknowledge all events up to a number, for a program that reads them with
` + "`dxd events --name NAME --no-ack`" + `, and is done with them. They never come again
under that name. An older number changes nothing.`,
		Example:           "  dxd events ack billing 4711",
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: a.completeSubscriptionOnce,
		PreRunE: func(_ *cobra.Command, args []string) error {
			_, err := eventNumber(args[1])
			return err
		},
		RunE: a.online(func(ctx context.Context, c *client.Client, args []string) error {
			seq, err := eventNumber(args[1])
			if err != nil {
				return err
			}
			if err := c.Acknowledge(ctx, args[0], seq); err != nil {
				return err
			}
			s, err := c.Subscription(ctx, args[0])
			if err != nil {
				return err
			}
			return a.print(s, field{s.Name, "acknowledged " + strconv.FormatInt(s.Acked, 10)})
		}),
	}
}

// eventNumber reads the number of an event.
func eventNumber(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 {
		return 0, record.Errorf(record.Invalid, "not the number of an event: %q", record.Printable(s, 40))
	}
	return n, nil
}

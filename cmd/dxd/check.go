package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"dxd/api/apitype"
	"dxd/client"
	"dxd/record"
)

func (a *app) checkCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check [ID]",
		Short: "Read what is kept and compare it with what was signed, now",
		Long: `Read the payload of a transfer, or of all transfers that are kept, open it and
compare length and digest with what was signed: what the scheduled check does at
its pace (check.every), at once and as fast as the disk goes.

What is damaged is listed, raises an alarm the first time, and is shown by dxd
doctor until it holds again. The exit code is then 1.`,
		Example: `  dxd check
  dxd check 0190b8f0-3c5e-7abc-8def-0123456789ab`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeTransfer,
	}
	return a.either(cmd, func(ctx context.Context, c *client.Client, args []string) error {
		if len(args) == 0 {
			return a.checkAll(ctx, c)
		}
		id, err := transferID(args[0])
		if err != nil {
			return err
		}
		i, err := c.Check(ctx, id)
		if err == nil && !i.Kept {
			err = record.Errorf(record.Gone, "no payload of transfer %s is kept", id)
		}
		if err != nil {
			return err
		}
		found := checkJSON{Damaged: []damagedJSON{}}
		found.add(i)
		return a.checked(found)
	})
}

type checkJSON struct {
	Payloads int64         `json:"payloads"`
	Bytes    int64         `json:"bytes"`
	Damaged  []damagedJSON `json:"damaged"`
}

type damagedJSON struct {
	ID     record.TransferID `json:"id"`
	Damage string            `json:"damage"`
}

func (f *checkJSON) add(i apitype.Inspection) {
	if !i.Kept {
		return
	}
	f.Payloads++
	f.Bytes += i.Bytes
	if i.Damage != "" {
		f.Damaged = append(f.Damaged, damagedJSON{i.ID, i.Damage})
	}
}

// checkAll checks all that is kept, the newest first.
func (a *app) checkAll(ctx context.Context, c *client.Client) error {
	all, total, err := keptTransfers(ctx, c)
	if err != nil {
		return err
	}
	bar := a.progress("checking", total)
	defer bar.done()
	found := checkJSON{Damaged: []damagedJSON{}}
	for _, t := range all {
		i, err := c.Check(ctx, t.id)
		if record.KindOf(err) == record.NotFound {
			continue // it was forgotten meanwhile
		}
		if err != nil {
			return err
		}
		found.add(i)
		bar.add(int(t.size))
	}
	bar.done()
	return a.checked(found)
}

// kept is a transfer whose payload may be here.
type kept struct {
	id   record.TransferID
	size int64
}

// keptTransfers lists them, and says how many bytes they have.
func keptTransfers(ctx context.Context, c *client.Client) (all []kept, total int64, err error) {
	for f := (client.Filter{Limit: checkPage}); ; {
		page, err := c.Transfers(ctx, f)
		if err != nil || len(page) == 0 {
			return all, total, err
		}
		for _, t := range page {
			f.After = t.ID
			if !t.Erased && t.Direction != "none" {
				all = append(all, kept{t.ID, max(t.Size, 0)})
				total += max(t.Size, 0)
			}
		}
	}
}

// checkPage is how many transfers are asked for at once.
const checkPage = 1000

// checked shows what was found; the error says whether anything is amiss.
func (a *app) checked(found checkJSON) error {
	if a.json {
		if err := a.printJSON(found); err != nil {
			return err
		}
	} else {
		for _, d := range found.Damaged {
			fmt.Fprintf(a.out, "✗ %s %s\n", d.ID, record.Printable(d.Damage, 1000))
		}
	}
	if n := len(found.Damaged); n > 0 {
		return record.WithHint(record.Errorf(record.Damaged, "%d of %d payloads are damaged", n, found.Payloads),
			"a backup, or the partner, may have what is lost")
	}
	if !a.json {
		fmt.Fprintf(a.out, "✓ %d payloads, %d bytes: all of them hold\n", found.Payloads, found.Bytes)
	}
	return nil
}

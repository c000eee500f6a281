package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"dxd/api/apitype"
	"dxd/client"
	"dxd/record"
)

func (a *app) transferCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "transfer ID",
		Short:             "Show one transfer or notarisation",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeTransfer,
		RunE: a.online(func(ctx context.Context, c *client.Client, args []string) error {
			id, err := transferID(args[0])
			if err != nil {
				return err
			}
			t, err := c.Transfer(ctx, id)
			if err != nil {
				return err
			}
			return a.printTransfer(t)
		}),
	}
}

// transferID reads an id from the command line. Where it can't be one, there
// is no transfer with it either.
func transferID(s string) (record.TransferID, error) {
	id, err := record.ParseTransferID(s)
	if err != nil {
		err = record.WithHint(record.Errorf(record.NotFound, "%w", err), record.Hint(err))
	}
	return id, err
}

func (a *app) printTransfer(t apitype.Transfer) error {
	done := ""
	if t.State == "sending" || t.State == "receiving" || t.State == "queued" && t.BytesDone > 0 {
		done = bytesOf(t.BytesDone)
		if t.Size >= 0 {
			done += " of " + bytesOf(t.Size)
		}
	}
	size := bytesOf(t.Size)
	if t.Size >= 0 {
		size += fmt.Sprintf(" (%d bytes)", t.Size)
	}
	state := t.State
	switch {
	case t.State == "queued" && t.Reason != "":
		state += " (the partner takes it later: " + whyLater(t.Reason) + ")"
	case t.Reason != "":
		state += " (" + t.Reason + ")"
	}
	expires := ""
	if t.Expires != nil && (t.State == "queued" || t.State == "sending") {
		expires = localTime(*t.Expires)
	}
	organisation := ""
	if !t.Org.IsZero() {
		organisation = t.Org.String()
	}
	return a.print(t,
		field{"id", t.ID.String()}, field{"way", t.Direction}, field{"partner", t.Partner}, field{"organisation", organisation},
		field{"kind", string(t.Kind)}, field{"name", t.Name}, field{"type", t.Type},
		field{"size", size}, field{"sha256", t.SHA256},
		field{"state", state}, field{"application", strings.TrimSpace(t.Application)}, field{"across", done}, field{"anchor", t.Anchor}, field{"erased", erasedText(t)}, field{"held", heldText(t)}, field{"partner asked", askedText(t)}, field{"partner asks", requestText(t)},
		field{"wire bytes", strconv.FormatInt(t.WireBytes, 10)}, field{"request id", t.RequestID},
		field{"created", localTime(t.Created)}, field{"updated", localTime(t.Updated)}, field{"given up at", expires})
}

// erasedText says when the payload was destroyed here, and by what.
func erasedText(t apitype.Transfer) string {
	if t.ErasedAt == nil {
		return ""
	}
	return localTime(*t.ErasedAt) + ", by " + t.ErasedBy
}

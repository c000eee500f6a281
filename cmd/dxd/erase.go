package main

import (
	"context"

	"github.com/spf13/cobra"

	"dxd/api/apitype"
	"dxd/client"
	"dxd/record"
)

func (a *app) eraseCommand() *cobra.Command {
	var o eraseOptions
	cmd := &cobra.Command{
		Use:   "erase ID",
		Short: "Destroy what a transfer carried, here",
		Long: `Destroy what a transfer or a notarisation carried, here: the payload, its key,
and the opening with name, type, digest and salt. It can't be undone.

Records, receipts and proofs are kept. They show that something of about this
size went from one organisation to the other, and when; without the opening
nothing shows any more what it was, so no evidence can be made from here. An
evidence file that was made before still verifies, and what the other side has
is not touched.

What is under way can't be erased: dxd cancel ends it. What is on hold can't be
either: see dxd hold. Old copies on the disk are out of reach for good after
dxd key rotate storage.

--ask-partner asks the other side to erase it as well. It decides by its own
erase.on_request; its signed answer is kept, and dxd transfer shows it. A partner
that is away is asked when it is back.

A partner that asks so is told of in the event erase.requested. dxd erase says
yes, dxd erase --refuse says no.`,
		Example: `  dxd erase 0190b8f0-3c5e-7abc-8def-0123456789ab
  dxd erase 0190b8f0-3c5e-7abc-8def-0123456789ab --ask-partner
  dxd erase 0190b8f0-3c5e-7abc-8def-0123456789ab --refuse --reason "we must keep it until 2031"`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeTransfer,
	}
	cmd.PreRunE = func(*cobra.Command, []string) error {
		switch {
		case o.reason == "":
			return nil
		case !o.refuse:
			return record.Errorf(record.Invalid, "--reason goes with --refuse")
		}
		return record.CheckText("the reason", o.reason, record.MaxReason)
	}
	cmd.RunE = a.online(func(ctx context.Context, c *client.Client, args []string) error {
		return a.onTransfer(o.do, "erased", erasedText)(ctx, c, args)
	})
	cmd.Flags().BoolVar(&o.ask, "ask-partner", false, "ask the partner to erase it, too")
	cmd.Flags().BoolVar(&o.refuse, "refuse", false, "erase nothing: say no to the partner, who asked for it")
	cmd.Flags().StringVar(&o.reason, "reason", "", "with --refuse: why, for the people on the other side")
	cmd.MarkFlagsMutuallyExclusive("ask-partner", "refuse")
	return cmd
}

type eraseOptions struct {
	ask, refuse bool
	reason      string
}

func (o eraseOptions) do(c *client.Client, ctx context.Context, id record.TransferID) (apitype.Transfer, error) {
	switch {
	case o.ask:
		return c.EraseAndAsk(ctx, id)
	case o.refuse:
		return c.RefuseErase(ctx, id, o.reason)
	}
	return c.Erase(ctx, id)
}

func (a *app) holdCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "hold ID",
		Short: "Keep a transfer from being erased",
		Long: `Keep a transfer or a notarisation from being erased, by dxd erase and by
retention, until dxd release. It is kept who asked for the hold, and when.`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeTransfer,
		RunE:              a.online(a.onTransfer((*client.Client).Hold, "held", heldText)),
	}
}

func (a *app) releaseCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "release ID",
		Short: "End a hold",
		Long: `End a hold: the transfer can be erased again, and is at once if its time by
retain.sent or retain.received is over.`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeTransfer,
		RunE:              a.online(a.onTransfer((*client.Client).Release, "held", heldText)),
	}
}

// onTransfer does something with one transfer, and shows what came of it.
func (a *app) onTransfer(do func(*client.Client, context.Context, record.TransferID) (apitype.Transfer, error), name string, text func(apitype.Transfer) string) func(context.Context, *client.Client, []string) error {
	return func(ctx context.Context, c *client.Client, args []string) error {
		id, err := transferID(args[0])
		if err != nil {
			return err
		}
		t, err := do(c, ctx, id)
		if err != nil {
			return err
		}
		return a.print(t, field{"id", t.ID.String()}, field{"state", t.State}, field{name, text(t)},
			field{"partner asked", askedText(t)}, field{"partner asks", requestText(t)})
	}
}

// askedText says what became of our request to the partner to erase.
func askedText(t apitype.Transfer) string {
	p := t.AskedPartner
	if p == nil {
		return ""
	}
	s := "to erase it, " + localTime(p.At)
	switch {
	case p.Answer == "":
		return s + "; no answer yet"
	case p.Answer == "unknown":
		return s + "; it does not know the transfer, or is of a version that can't be asked"
	case p.AnsweredAt != nil:
		s += "; " + p.Answer + " " + localTime(*p.AnsweredAt)
	}
	if p.Reason != "" {
		s += ": " + p.Reason
	}
	return s
}

// requestText says what became of the partner's request to us.
func requestText(t apitype.Transfer) string {
	p := t.EraseRequest
	if p == nil {
		return ""
	}
	s := "to erase it, " + localTime(p.At)
	if p.Answer == "" {
		return s + "; not answered yet"
	}
	return s + "; " + p.Answer
}

// heldText says since when a transfer is on hold, and who asked for it.
func heldText(t apitype.Transfer) string {
	if t.HeldAt == nil {
		return ""
	}
	return "since " + localTime(*t.HeldAt) + ", by " + t.HeldBy
}

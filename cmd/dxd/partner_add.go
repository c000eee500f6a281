package main

import (
	"context"

	"github.com/spf13/cobra"

	"dxd/client"
	"dxd/partner"
	"dxd/record"
)

// addOptions is what `dxd partner add` and `dxd pair` are told.
type addOptions struct {
	alias       string
	fingerprint string
	yes         bool
}

func (a *app) partnerAddCommand() *cobra.Command {
	var o addOptions
	cmd := &cobra.Command{
		Use:   "add FILE --alias ALIAS",
		Short: "Accept the card that a partner handed over (- reads standard input)",
		Long: `Accept the card that a partner handed over, or a newer card of a partner that is
known already.

The fingerprint says that the card is of whom you think it is: ask them for it
over a line that you trust, such as the telephone, and compare all of it.`,
		Example: `  dxd partner add bolt.card --alias bolt
  dxd partner add bolt.card --alias bolt --fingerprint abcd-efgh-ijkl-mnop-qrst-uvwx-yz23-4567`,
		Args: cobra.ExactArgs(1),
	}
	a.either(cmd, func(ctx context.Context, c *client.Client, args []string) error {
		return a.addPartner(ctx, c, args[0], o)
	})
	o.flags(cmd)
	// Both before any work, and before a passphrase is asked for.
	cmd.PreRunE = func(*cobra.Command, []string) error { return o.check() }
	return cmd
}

func (o *addOptions) flags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&o.alias, "alias", "", "what you call the partner here")
	flags.StringVar(&o.fingerprint, "fingerprint", "", "the fingerprint that they told you; the card must have it")
	flags.BoolVar(&o.yes, "yes", false, "take the card as it is: nobody has compared the fingerprint")
}

func (o addOptions) check() error {
	if o.yes && o.fingerprint != "" {
		return usagef("--yes and --fingerprint exclude each other")
	}
	if o.fingerprint != "" {
		if _, err := record.ParseFingerprint(o.fingerprint); err != nil {
			return err
		}
	}
	if o.alias == "" {
		return nil // a newer card of a known partner needs none
	}
	return partner.CheckAlias(o.alias)
}

func (a *app) addPartner(ctx context.Context, c *client.Client, path string, o addOptions) error {
	file, content, err := a.readCardFile(path)
	if err != nil {
		return err
	}
	partners, err := c.Partners(ctx)
	if err != nil {
		return err
	}
	known := false
	for _, p := range partners {
		known = known || p.Org == file.Card.Body.Org
	}
	if o.alias == "" && !known {
		return usageError{record.WithHint(record.Errorf(record.Invalid, "--alias is missing"), "--alias says what you call a new partner here")}
	}
	// A known partner's newer card is signed by the root key that was compared
	// when it was added.
	if !known || o.fingerprint != "" {
		if err := a.confirm(ctx, candidateOf(file.OpenedCardFile), path != "-", o); err != nil {
			return err
		}
	}
	p, err := c.AddPartner(ctx, o.alias, content, o.fingerprint)
	if err != nil {
		return err
	}
	return a.printPartner(p)
}

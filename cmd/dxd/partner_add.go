package main

import (
	"bufio"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dxd/client"
	"dxd/p2p"
	"dxd/partner"
	"dxd/record"
)

// addOptions is what `dxd partner add` is told.
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
	flags := cmd.Flags()
	flags.StringVar(&o.alias, "alias", "", "what you call the partner here")
	flags.StringVar(&o.fingerprint, "fingerprint", "", "the fingerprint that they told you; the card must have it")
	flags.BoolVar(&o.yes, "yes", false, "take the card as it is: nobody has compared the fingerprint")
	// Both before any work, and before a passphrase is asked for.
	cmd.PreRunE = func(*cobra.Command, []string) error { return o.check() }
	return cmd
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
	if err := a.confirm(ctx, file, path, known, o); err != nil {
		return err
	}
	p, err := c.AddPartner(ctx, o.alias, content, o.fingerprint)
	if err != nil {
		return err
	}
	return a.printPartner(p)
}

// confirm has a person compare the fingerprint. A known partner's newer card
// is signed by the root key that was compared when it was added.
func (a *app) confirm(ctx context.Context, file record.OpenedCardFile, path string, known bool, o addOptions) error {
	got := file.Card.Body.Org.Fingerprint()
	if o.fingerprint != "" {
		if want, err := record.ParseFingerprint(o.fingerprint); err != nil || want != got {
			return record.WithHint(record.Errorf(record.Invalid, "the card has the fingerprint %s, and you were told %s", got, o.fingerprint),
				"the card is not of whom you think it is, or was changed on its way: talk to them before you accept any card")
		}
		return nil
	}
	if known || o.yes {
		return nil
	}
	if path == "-" || !isTerminal(a.in) {
		return usageError{record.WithHint(record.Errorf(record.Invalid, "nobody is there to compare the fingerprint %s", got),
			"give the fingerprint that they told you with --fingerprint, or --yes to take the card as it is")}
	}
	if err := a.explain(file); err != nil {
		return err
	}
	return a.ask(ctx, "Is this the fingerprint that they told you? [y/N] ")
}

// explain shows on the terminal what a person is about to accept.
func (a *app) explain(file record.OpenedCardFile) error {
	body := file.Card.Body
	expires := time.UnixMilli(body.Expires)
	fields := []field{
		{"name", body.Name}, {"fingerprint", body.Org.Fingerprint().String()},
		{"card", strconv.FormatInt(body.Serial, 10) + ", expires " + localTime(expires)},
	}
	addresses := addressesOf(file)
	for _, address := range addresses {
		fields = append(fields, field{"address", address})
	}
	if slices.ContainsFunc(addresses, p2p.IsPrivate) {
		fields = append(fields, field{"note", "an address is in a private network: accepting the card lets this daemon call it there"})
	}
	return printFields(a.stderr, fields...)
}

// ask puts a question on the terminal; anything but yes is an error. When a
// signal comes the read itself can't be ended, and ends with the process.
func (a *app) ask(ctx context.Context, question string) error {
	fmt.Fprint(a.stderr, question)
	answered := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(a.in).ReadString('\n') // what can't be read is no yes
		answered <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case answer := <-answered:
		if answer == "y" || answer == "yes" {
			return nil
		}
		return record.Errorf(record.Invalid, "not accepted; nothing was changed")
	case <-ctx.Done():
		fmt.Fprintln(a.stderr)
		return ctx.Err()
	}
}

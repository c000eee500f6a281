package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"dxd/client"
	"dxd/hashanchor"
	"dxd/internal/statedir"
	"dxd/record"
)

type cardJSON struct {
	Org         record.OrgID       `json:"org"`
	Name        string             `json:"name"`
	Fingerprint record.Fingerprint `json:"fingerprint"`
	Addresses   []string           `json:"addresses"`
	Serial      int64              `json:"serial"`
	Expires     time.Time          `json:"expires"`
	Expired     bool               `json:"expired"`
	Nodes       []record.NodeID    `json:"nodes"`
	Accounts    []record.Account   `json:"accounts"`
	Anchored    *anchoredJSON      `json:"anchored"` // as the file says; nil if it does not
}

// anchoredJSON is where a card file says that its card is anchored.
type anchoredJSON struct {
	ChainID int64          `json:"chain_id"`
	Account record.Account `json:"account"`
	Block   int64          `json:"block"`
	Time    time.Time      `json:"time"`
}

func (a *app) cardCommand() *cobra.Command {
	card := a.either(&cobra.Command{
		Use:   "card",
		Short: "Print this organisation's card, to hand over to a partner",
		Long: `Print this organisation's card with its nodes' addresses: a file to hand over to
a partner, over any channel. Then compare the fingerprint over another channel
that you trust, such as the telephone.

Once the card's anchor is final, the file has the proof of it, too: that is what
` + "`dxd verify --card`" + ` takes.`,
		Example: `  dxd card > acme.card
  dxd card show bolt.card
  dxd card renew`,
		Args: cobra.NoArgs,
	}, a.card)
	card.AddCommand(&cobra.Command{
		Use:   "show FILE",
		Short: "Check a card file and explain it (- reads standard input)",
		Args:  cobra.ExactArgs(1),
		RunE: a.do(func(_ *cobra.Command, args []string) error {
			file, _, err := a.readCardFile(args[0])
			if err != nil {
				return err
			}
			return a.printCard(file, time.Now())
		}),
	})
	card.AddCommand(a.either(&cobra.Command{
		Use:   "renew",
		Short: "Sign a new card that is valid for two years",
		Long: `Sign a new card with the next serial, of the same keys, that is valid for two
years. Partners take it by themselves when they are connected: no file has to be
handed over again. A running daemon renews the card 30 days before its end.`,
		Example: `  dxd card renew`,
		Args:    cobra.NoArgs,
	}, a.renewCard))
	return card
}

func (a *app) renewCard(ctx context.Context, c *client.Client, _ []string) error {
	content, err := c.RenewCard(ctx)
	if err != nil {
		return err
	}
	file, err := hashanchor.OpenCardFile(content)
	if err != nil {
		return err
	}
	return a.printCard(file, time.Now())
}

func (a *app) card(ctx context.Context, c *client.Client, _ []string) error {
	content, err := c.Card(ctx)
	if err != nil {
		return err
	}
	file, err := hashanchor.OpenCardFile(content)
	if err != nil {
		return err
	}
	if _, err := a.out.Write(content); err != nil {
		return record.Errorf(record.Internal, "couldn't write the card: %w", err)
	}
	a.say("hand this file over, and compare the fingerprint over a line that you trust: " + file.Card.Body.Org.Fingerprint().String())
	if len(file.Addresses()) == 0 {
		a.say("the card has no address, so partners can't call this node: see `announce` in dxd.toml")
	}
	return nil
}

// readCardFile gives the card file as it is, too: its signatures are over these
// very bytes.
func (a *app) readCardFile(path string) (hashanchor.CardFile, []byte, error) {
	content, err := a.readInput(path, record.MaxCardFile)
	if err != nil {
		return hashanchor.CardFile{}, nil, err
	}
	file, err := hashanchor.OpenCardFile(content)
	return file, content, err
}

// readInput reads a small file that was named on the command line, or
// standard input for "-".
func (a *app) readInput(path string, limit int64) ([]byte, error) {
	if path != "-" {
		content, err := statedir.ReadFile(path, limit)
		return content, unreadable(err)
	}
	content, err := io.ReadAll(io.LimitReader(a.in, limit+1))
	if err != nil {
		return nil, record.Errorf(record.Internal, "couldn't read standard input: %w", err)
	}
	if int64(len(content)) > limit {
		return nil, record.Errorf(record.Invalid, "standard input is longer than %d bytes", limit)
	}
	return content, nil
}

func (a *app) printCard(file hashanchor.CardFile, now time.Time) error {
	body := file.Card.Body
	card := cardJSON{
		Org: body.Org, Name: body.Name, Fingerprint: body.Org.Fingerprint(), Addresses: file.Addresses(),
		Serial: body.Serial, Expires: time.UnixMilli(body.Expires).UTC(), Nodes: body.Nodes, Accounts: body.Accounts,
	}
	if p := file.Proof; p != nil {
		card.Anchored = &anchoredJSON{p.Anchor.ChainID, p.Anchor.Account, p.Anchor.Block, time.Unix(p.Anchor.Time, 0).UTC()}
	}
	card.Expired = !now.Before(card.Expires)
	expires := card.Expires.Format(time.RFC3339)
	if card.Expired {
		expires += " (expired)"
	}
	fields := []field{
		{"name", card.Name}, {"fingerprint", card.Fingerprint.String()}, {"organisation", card.Org.String()},
		{"serial", strconv.FormatInt(card.Serial, 10)}, {"expires", expires},
	}
	for _, n := range card.Nodes {
		fields = append(fields, field{"node", n.String()})
	}
	for _, address := range card.Addresses {
		fields = append(fields, field{"address", address})
	}
	for _, account := range card.Accounts {
		fields = append(fields, field{"account", account.String()})
	}
	if at := card.Anchored; at != nil {
		fields = append(fields, field{"anchored", fmt.Sprintf("%s, in block %d of chain %d, as the file says (`dxd verify --card` asks the chain)",
			at.Time.Format(time.RFC3339), at.Block, at.ChainID)})
	}
	return a.print(card, fields...)
}

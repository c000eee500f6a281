package main

import (
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

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
}

func (a *app) cardCommand() *cobra.Command {
	card := &cobra.Command{
		Use:   "card",
		Short: "Explain an organisation's card",
		Args:  cobra.NoArgs,
		RunE: a.do(func(*cobra.Command, []string) error {
			return usagef("dxd card needs a subcommand")
		}),
	}
	card.AddCommand(&cobra.Command{
		Use:   "show FILE",
		Short: "Check a card file and explain it (- reads standard input)",
		Args:  cobra.ExactArgs(1),
		RunE: a.do(func(_ *cobra.Command, args []string) error {
			file, err := a.readCardFile(args[0])
			if err != nil {
				return err
			}
			return a.printCard(file, time.Now())
		}),
	})
	return card
}

func (a *app) readCardFile(path string) (record.OpenedCardFile, error) {
	content, err := a.readInput(path, record.MaxCardFile)
	if err != nil {
		return record.OpenedCardFile{}, err
	}
	return record.OpenCardFile(content)
}

// readInput reads a small file that was named on the command line, or
// standard input for "-".
func (a *app) readInput(path string, limit int64) ([]byte, error) {
	if path != "-" {
		return statedir.ReadFile(path, limit)
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

func (a *app) printCard(file record.OpenedCardFile, now time.Time) error {
	body := file.Card.Body
	card := cardJSON{
		Org: body.Org, Name: body.Name, Fingerprint: body.Org.Fingerprint(), Addresses: []string{},
		Serial: body.Serial, Expires: time.UnixMilli(body.Expires).UTC(), Nodes: body.Nodes, Accounts: body.Accounts,
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
	for _, p := range file.Presence {
		for _, address := range p.Body.Addresses {
			card.Addresses = append(card.Addresses, address)
			fields = append(fields, field{"address", address})
		}
	}
	for _, account := range card.Accounts {
		fields = append(fields, field{"account", account.String()})
	}
	return a.print(card, fields...)
}

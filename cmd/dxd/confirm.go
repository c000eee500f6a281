package main

import (
	"bufio"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"dxd/p2p"
	"dxd/record"
)

// candidate is what a person has to know of an organisation before it becomes
// a partner.
type candidate struct {
	name        string
	fingerprint record.Fingerprint
	serial      int64
	expires     time.Time
	addresses   []string
}

func candidateOf(file record.OpenedCardFile) candidate {
	body := file.Card.Body
	return candidate{body.Name, body.Org.Fingerprint(), body.Serial, time.UnixMilli(body.Expires), file.Addresses()}
}

// confirm has a person compare the fingerprint, or compares it with what they
// were told; asked says whether standard input is theirs to answer on.
func (a *app) confirm(ctx context.Context, c candidate, asked bool, o addOptions) error {
	if o.fingerprint != "" {
		if want, err := record.ParseFingerprint(o.fingerprint); err != nil || want != c.fingerprint {
			return record.WithHint(record.Errorf(record.Invalid, "the card has the fingerprint %s, and you were told %s", c.fingerprint, o.fingerprint),
				"the card is not of whom you think it is, or was changed on its way: talk to them before you accept any card")
		}
		return nil
	}
	if o.yes {
		return nil
	}
	if !asked || !isTerminal(a.in) {
		return usageError{record.WithHint(record.Errorf(record.Invalid, "nobody is there to compare the fingerprint %s", c.fingerprint), hintNobody)}
	}
	if err := a.explain(c); err != nil {
		return err
	}
	return a.ask(ctx, "Is this the fingerprint that they told you? [y/N] ")
}

const hintNobody = "give the fingerprint that they told you with --fingerprint, or --yes to take the card as it is"

// explain shows on the terminal what a person is about to accept.
func (a *app) explain(c candidate) error {
	fields := []field{
		{"name", quoted(c.name)}, {"fingerprint", c.fingerprint.String()},
		{"card", strconv.FormatInt(c.serial, 10) + ", expires " + localTime(c.expires)},
	}
	for _, address := range c.addresses {
		fields = append(fields, field{"address", address})
	}
	if slices.ContainsFunc(c.addresses, p2p.IsPrivate) {
		fields = append(fields, field{"note", "an address is in a private network: accepting the card lets this daemon call it there"})
	}
	return printFields(a.stderr, fields...)
}

// quoted shows where a name begins and ends. Its owner chose it, and it may hold
// what stands beside it: a fingerprint, for one, that is another's.
func quoted(name string) string { return strconv.Quote(name) }

// ask puts a question on the terminal; anything but yes is an error.
func (a *app) ask(ctx context.Context, question string) error {
	answer, err := a.line(ctx, question)
	if err != nil {
		return err
	}
	if answer = strings.ToLower(answer); answer != "y" && answer != "yes" {
		return record.Errorf(record.Invalid, "not accepted; nothing was changed")
	}
	return nil
}

// line reads one line from the terminal. When ctx ends the read itself can't
// be ended, and ends with the process.
func (a *app) line(ctx context.Context, prompt string) (string, error) {
	fmt.Fprint(a.stderr, prompt)
	typed := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(a.in).ReadString('\n') // what can't be read says nothing
		typed <- strings.TrimSpace(line)
	}()
	select {
	case line := <-typed:
		return line, nil
	case <-ctx.Done():
		fmt.Fprintln(a.stderr)
		return "", ctx.Err()
	}
}

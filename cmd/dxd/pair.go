package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dxd/api/apitype"
	"dxd/client"
	"dxd/record"
)

func (a *app) pairCommand() *cobra.Command {
	var o addOptions
	cmd := &cobra.Command{
		Use:   "pair [TICKET]",
		Short: "Become partners by a ticket that one side hands to the other",
		Long: `Become partners with another organisation, both sides at once. One side runs
"dxd pair", which prints a ticket and waits; the other runs "dxd pair TICKET"
(- reads it from standard input). Each side then sees the other's name and
fingerprint, and both must say yes before either adds the other.

Whichever side can be reached from outside prints the ticket.

A ticket is a secret: whoever has it can introduce himself in place of the one
it was meant for, and only the fingerprint tells. So send it over a channel that
others do not read, and compare fingerprints over a line that you trust, such
as the telephone. It may stand on a command line, since it is good for one use
within 15 minutes, and only as long as "dxd pair" waits.`,
		Example: `  dxd pair                                    prints a ticket
  dxd pair dxdpair1aeb4… --alias bolt         on the other side
  dxd pair - --fingerprint abcd-efgh-ijkl-mnop-qrst-uvwx-yz23-4567 < ticket`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: a.online(func(ctx context.Context, c *client.Client, args []string) error {
			return a.pair(ctx, c, args, o)
		}),
	}
	o.flags(cmd)
	cmd.PreRunE = func(_ *cobra.Command, args []string) error {
		if err := o.check(); err != nil {
			return err
		}
		if !o.yes && o.fingerprint == "" && (len(args) > 0 && args[0] == "-" || !isTerminal(a.in)) {
			return usageError{record.WithHint(record.Errorf(record.Invalid, "nobody is there to compare fingerprints"), hintNobody)}
		}
		return nil
	}
	return cmd
}

func (a *app) pair(ctx context.Context, c *client.Client, args []string, o addOptions) error {
	ticket, err := a.readTicket(args)
	if err != nil {
		return err
	}
	self, err := c.Self(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p := &pairing{a: a, c: c, o: o, own: self.Fingerprint, answered: make(chan error, 1)}
	paired, err := c.Pair(ctx, ticket, func(now apitype.Pairing) { p.seen(ctx, now) })
	p.clock.stop()
	cancel() // a question that is still open is none any more
	if p.asked {
		err = whichEnded(<-p.answered, err)
	}
	if err != nil {
		return err
	}
	return p.report(paired)
}

// whichEnded gives the reason why a pairing ended: the person's own answer had
// an error, unless it only came when all was over.
func whichEnded(own, err error) error {
	late := errors.Is(own, context.Canceled) || err != nil && record.KindOf(own) == record.NotFound
	if own == nil || late {
		return err
	}
	return own
}

// readTicket gives the ticket without what copying may have put into it; ""
// where one is to be issued.
func (a *app) readTicket(args []string) (string, error) {
	if len(args) == 0 {
		return "", nil
	}
	ticket := args[0]
	if ticket == "-" {
		content, err := a.readInput("-", 64<<10)
		if err != nil {
			return "", err
		}
		ticket = string(content)
	}
	if ticket = strings.Join(strings.Fields(ticket), ""); ticket == "" {
		return "", usagef("the ticket is empty")
	}
	return ticket, nil
}

// pairing is one that a person at this command takes part in.
type pairing struct {
	a     *app
	c     *client.Client
	o     addOptions
	own   record.Fingerprint // ours, for the other side's person to compare
	clock *countdown
	asked bool
	// answered gives the error of the person's own answer, once asked.
	answered chan error
}

// seen is called in each state that the pairing comes to.
func (p *pairing) seen(ctx context.Context, now apitype.Pairing) {
	p.clock.stop()
	switch now.State {
	case "waiting":
		p.issue(now)
	case "calling":
		p.a.say("calling the other side")
	case "asking":
		p.asked = true
		go func() { p.answered <- p.answer(ctx, now) }()
	case "agreed":
		p.clock = p.a.countdown("waiting for their yes", now.Expires)
	}
}

// ticketJSON is the first line of --json on the side that issues the ticket.
type ticketJSON struct {
	Ticket  string    `json:"ticket"`
	Expires time.Time `json:"expires"`
}

func (p *pairing) issue(now apitype.Pairing) {
	p.a.say("hand this ticket to the other side, over a channel that others do not read; they run `dxd pair TICKET`")
	if p.a.json {
		p.a.printJSON(ticketJSON{now.Ticket, now.Expires}) // whoever does not read it can't use it either
	} else {
		fmt.Fprintln(p.a.out, now.Ticket)
	}
	p.a.say("it is good for one use until " + localTime(now.Expires) + ", as long as this command runs")
	p.clock = p.a.countdown("waiting for the other side", now.Expires)
}

// introduce says who has come.
func introduce(other apitype.Met) string {
	return "the other side is here: " + quoted(other.Name) + ", fingerprint " + other.Fingerprint.String()
}

// answer is the word of the person here. Whatever keeps them from saying yes
// is a no to the other side.
func (p *pairing) answer(ctx context.Context, now apitype.Pairing) error {
	other := now.Other
	if other == nil {
		return record.Errorf(record.Internal, "the daemon asks about nobody")
	}
	p.a.say(introduce(*other))
	p.a.say("your own fingerprint, which they compare with what you tell them: " + p.own.String())
	if other.Known {
		p.a.say("they are your partner " + other.Alias + " already: to say yes takes their card of today")
	}
	err := p.a.confirm(ctx, candidate{other.Name, other.Fingerprint, other.Serial, other.Expires, other.Addresses}, true, p.o)
	if err == nil {
		err = p.accept(ctx, now.ID, *other)
	}
	if err != nil && ctx.Err() == nil {
		_, refusal := p.c.AnswerPairing(ctx, now.ID, false, "")
		// A no that the end of the pairing overtook was not needed any more.
		if refusal != nil && ctx.Err() == nil && record.KindOf(refusal) != record.NotFound {
			err = errors.Join(err, refusal)
		}
	}
	return err
}

// accept says yes, under an alias that a person may choose until it can be had.
func (p *pairing) accept(ctx context.Context, id string, other apitype.Met) error {
	choose := p.o.alias == "" && !other.Known && !p.o.yes && p.o.fingerprint == ""
	for alias := p.o.alias; ; {
		if choose {
			var err error
			if alias, err = p.a.line(ctx, "What do you call them here? ["+other.Alias+"] "); err != nil {
				return err
			}
		}
		_, err := p.c.AnswerPairing(ctx, id, true, alias)
		kind := record.KindOf(err)
		if !choose || kind != record.Invalid && kind != record.Conflict {
			return err
		}
		p.a.say(err.Error())
		if kind == record.Invalid {
			p.a.say("hint: " + record.Hint(err))
		}
	}
}

// report says what came of it.
func (p *pairing) report(paired apitype.Pairing) error {
	if paired.Partner == nil {
		return record.WithHint(record.Errorf(record.Internal, "they were added, and the daemon can't show them"), "`dxd partner list` may")
	}
	added := *paired.Partner
	// Nothing of the connection: the two only now let each other in, and to say
	// that there is none yet reads as if pairing had failed.
	if err := p.a.print(added, append(whoIs(added), cardFields(added)...)...); err != nil {
		return err
	}
	if added.State != "active" {
		p.a.say("they are " + added.State + " here: `dxd partner resume " + added.Alias + "` lets them in again")
	}
	if !paired.Confirmed {
		return record.WithHint(record.Errorf(record.Unavailable, "they are added here, but their word that they added you was lost"),
			"if `dxd partner list` does not show them connected soon, pair again with a new ticket")
	}
	return nil
}

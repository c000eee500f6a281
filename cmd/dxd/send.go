package main

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"dxd/api/apitype"
	"dxd/client"
	"dxd/exchange"
	"dxd/record"
)

// sendOptions is what `dxd send` is told.
type sendOptions struct {
	to        []string
	name      string
	mediaType string
	requestID string
	expires   time.Duration
	stream    bool
	wait      string
	timeout   time.Duration
}

func (a *app) sendCommand() *cobra.Command {
	var o sendOptions
	cmd := &cobra.Command{
		Use:   "send FILE --to ALIAS",
		Short: "Send a document to one or more partners (- reads standard input)",
		Long: `Send a document to one or more partners.

When it ends, the document is queued: it is delivered once the partner can be
reached, even if this machine is restarted meanwhile. With --wait it ends later;
if --timeout comes first, the exit code is 8 and the work goes on.

With --stream, recipients that can be reached get the document while it is
read, which suits a pipe that takes long. Nothing is promised before its end: if
it can't be read so far, nothing of it is left with them either.

A pipe ends in the same way when its writer is done and when it has died: what
came until then is the document. Where that must not be, have the writer finish
a file, and send that; or have it upload over the API itself, where a connection
that breaks off is no end.`,
		Example: `  dxd send contract.pdf --to bolt
  dxd send contract.pdf --to bolt --to carat --wait anchored --timeout 10m
  tar c reports | dxd send - --name reports.tar --to bolt
  pg_dump orders | dxd send - --stream --name orders.sql --to bolt`,
		Args: cobra.ExactArgs(1),
	}
	cmd.RunE = a.online(func(ctx context.Context, c *client.Client, args []string) error { return a.send(ctx, c, args[0], o) })
	cmd.Flags().StringVar(&o.name, "name", "", "the document's name, if not the file's")
	cmd.Flags().StringVar(&o.mediaType, "type", "", "media type (default application/octet-stream)")
	cmd.Flags().BoolVar(&o.stream, "stream", false, "send the document on while it is read")
	a.submitFlags(cmd, &o, "document")
	return cmd
}

// submitFlags are those that documents and messages have in common.
func (a *app) submitFlags(cmd *cobra.Command, o *sendOptions, what string) {
	flags := cmd.Flags()
	flags.StringArrayVar(&o.to, "to", nil, "alias of a recipient (repeatable)")
	flags.StringVar(&o.requestID, "request-id", "", "an id of yours: the same one never sends twice")
	flags.DurationVar(&o.expires, "expires", 0, "when delivery is given up (default 168h)")
	flags.StringVar(&o.wait, "wait", goals[0], "end once the "+what+" is queued, delivered, accepted or anchored")
	flags.DurationVar(&o.timeout, "timeout", 0, "wait no longer than this (default: no limit)")
	completeFlag(cmd, "to", a.completeAliasFlag)
	completeFlag(cmd, "wait", cobra.FixedCompletions(goals, cobra.ShellCompDirectiveNoFileComp))
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error {
		if cmd.Flags().Changed("expires") && o.expires < time.Second {
			return usagef("--expires takes a second or more, such as 24h")
		}
		return o.check()
	}
}

func (o sendOptions) check() error {
	switch {
	case len(o.to) == 0:
		return record.WithHint(record.Errorf(record.Invalid, "--to is missing"), "--to names a recipient; `dxd partner list` shows all")
	case len(slices.Compact(slices.Sorted(slices.Values(o.to)))) != len(o.to):
		return record.Errorf(record.Invalid, "--to names a recipient twice")
	case len(o.to) > exchange.MaxRecipients:
		return record.WithHint(record.Errorf(record.Invalid, "--to names %d recipients, %d are allowed", len(o.to), exchange.MaxRecipients), "send to the others in another call")
	case len(o.requestID) > exchange.MaxRequestID:
		return record.Errorf(record.Invalid, "--request-id has %d bytes, %d are allowed", len(o.requestID), exchange.MaxRequestID)
	case !slices.Contains(goals, o.wait):
		return record.WithHint(record.Errorf(record.Invalid, "can't wait for %q", record.Printable(o.wait, 40)), "use queued, delivered, accepted or anchored")
	case o.timeout < 0:
		return record.Errorf(record.Invalid, "a time can't be negative")
	}
	return checkItem(o.name, o.mediaType)
}

// checkItem refuses a name and a media type, where they are given, that no
// document can have.
func checkItem(name, mediaType string) error {
	if name != "" {
		if err := record.CheckName(name); err != nil {
			return err
		}
	}
	if mediaType != "" {
		return record.CheckMediaType(mediaType)
	}
	return nil
}

func (a *app) send(ctx context.Context, c *client.Client, path string, o sendOptions) error {
	doc, err := a.openDocument(path)
	if err != nil {
		return err
	}
	defer doc.Close()
	if err := doc.named(o.name); err != nil {
		return err
	}
	return a.submit(ctx, c, doc, o, c.Send)
}

// submit is the way by which a document or a message is handed over.
type submit func(context.Context, client.Submission, io.Reader, int64) (apitype.Submitted, error)

// submit hands a document or a message over, waits as it is told, and says what
// became of it.
func (a *app) submit(ctx context.Context, c *client.Client, doc document, o sendOptions, hand submit) error {
	sent, err := a.upload(ctx, doc, o, hand)
	if err != nil {
		return err
	}
	// At this point it is queued: whatever comes, its ids are told.
	errs := a.waitAll(ctx, c, &sent, o)
	err = worst(append(errs, a.printSent(sent)))
	if errors.Is(err, context.Canceled) {
		a.say("delivery goes on; `dxd transfers` shows how far it is, `dxd cancel` stops it")
	}
	for _, other := range errs {
		if other != nil && other != err {
			a.say("error: " + other.Error())
		}
	}
	return err
}

func (a *app) upload(ctx context.Context, doc document, o sendOptions, hand submit) (apitype.Submitted, error) {
	what := "sealing"
	if o.stream {
		what = "sending"
	}
	bar := a.progress(what, doc.size)
	defer bar.done()
	written := doc.written()
	sent, err := hand(ctx, client.Submission{
		To: o.to, Name: doc.name, Type: o.mediaType, RequestID: o.requestID, Expires: o.expires, Stream: o.stream,
	}, doc.source(ctx, bar), doc.size)
	bar.done()
	if err == nil && written() {
		a.say("the file was written to while it was read: what is sent may be neither what it was nor what it is now")
	}
	return sent, err
}

func (a *app) printSent(s apitype.Submitted) error {
	if a.json {
		return a.printJSON(s)
	}
	fields := make([]field, 0, len(s.Transfers))
	for _, t := range s.Transfers {
		fields = append(fields, field{t.ID.String(), t.To + "  " + t.State})
	}
	return printFields(a.out, fields...)
}

package main

import (
	"context"

	"github.com/spf13/cobra"

	"dxd/client"
)

func (a *app) notarizeCommand() *cobra.Command {
	var name, mediaType string
	cmd := &cobra.Command{
		Use:   "notarize FILE",
		Short: "Anchor a salted commitment to a file that is sent to no one (- reads standard input)",
		Example: `  dxd notarize minutes.pdf
  dxd evidence ID -o minutes.evidence`,
		Args:    cobra.ExactArgs(1),
		PreRunE: func(*cobra.Command, []string) error { return checkItem(name, mediaType) },
	}
	cmd.RunE = a.online(func(ctx context.Context, c *client.Client, args []string) error {
		doc, err := a.openDocument(args[0])
		if err != nil {
			return err
		}
		defer doc.Close()
		if err := doc.named(name); err != nil {
			return err
		}
		bar := a.progress("hashing", doc.size)
		defer bar.done()
		written := doc.written()
		n, err := c.Notarize(ctx, doc.name, mediaType, doc.source(ctx, bar), doc.size)
		if err != nil {
			return err
		}
		bar.done()
		if written() {
			a.say("the file was written to while it was read: what is anchored may be neither what it was nor what it is now")
		}
		return a.print(n, field{"id", n.ID.String()}, field{"sha256", n.SHA256})
	})
	cmd.Flags().StringVar(&name, "name", "", "the document's name, if not the file's")
	cmd.Flags().StringVar(&mediaType, "type", "", "media type (default application/octet-stream)")
	return cmd
}

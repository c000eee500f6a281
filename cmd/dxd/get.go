package main

import (
	"bytes"
	"context"
	"io"
	"strconv"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"dxd/client"
	"dxd/record"
)

// getOptions is what `dxd get` is told.
type getOptions struct {
	output string
	force  bool
	sealed bool
}

type gotJSON struct {
	File   string `json:"file"`
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"`
}

func (a *app) getCommand() *cobra.Command {
	var o getOptions
	cmd := &cobra.Command{
		Use:   "get ID",
		Short: "Write a document or message to a file or to standard output",
		Long: `Write the document or message of a transfer to a file or to standard output. It
is hashed again before it is released. A message has no name: in a directory its
file has that of its id.`,
		Example: `  dxd get ID -o contract.pdf
  dxd get ID -o inbox/        under the name that the sender gave
  dxd get ID | tar x`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeTransfer,
	}
	cmd.RunE = a.online(func(ctx context.Context, c *client.Client, args []string) error {
		id, err := transferID(args[0])
		if err != nil {
			return err
		}
		if o.output == "" || o.output == "-" {
			return a.getToStdout(ctx, c, id, o)
		}
		return a.getToFile(ctx, c, id, o)
	})
	flags := cmd.Flags()
	flags.StringVarP(&o.output, "output", "o", "", "file or directory to write to")
	flags.BoolVar(&o.force, "force", false, "replace a file that exists")
	flags.BoolVar(&o.sealed, "sealed", false, "as an age file for this organisation's own recipient key")
	return cmd
}

func (o getOptions) open(ctx context.Context, c *client.Client, id record.TransferID) (*client.Content, error) {
	if o.sealed {
		return c.SealedContent(ctx, id)
	}
	return c.Content(ctx, id)
}

func (a *app) getToFile(ctx context.Context, c *client.Client, id record.TransferID, o getOptions) error {
	content, err := o.open(ctx, c, id)
	if err != nil {
		return err
	}
	defer content.Close()
	name := content.Name
	if name == "" {
		name = id.String()
	}
	file, err := newOutput(outputPath(o.output, name), o.force)
	if err != nil {
		return err
	}
	file.known = content.Digest // none of a sealed one
	bar := a.progress("writing", content.Size)
	defer bar.done()
	if err := file.fill(bar.reader(content)); err != nil {
		return err
	}
	bar.done()
	return a.print(gotJSON{file.path, file.sha256(), file.size},
		field{"file", file.path}, field{"sha256", file.sha256()}, field{"size", strconv.FormatInt(file.size, 10)})
}

// getToStdout releases nothing before all of it was hashed: it reads the
// document once to check it, and once more to hand it out, since a copy in a
// temporary file would leave the document on the disk in the clear.
func (a *app) getToStdout(ctx context.Context, c *client.Client, id record.TransferID, o getOptions) error {
	terminal := isTerminal(a.out)
	if terminal && o.sealed {
		return errBinary()
	}
	if !o.sealed {
		if err := a.rehearse(ctx, c, id, o, terminal); err != nil {
			return err
		}
	}
	content, err := o.open(ctx, c, id)
	if err != nil {
		return err
	}
	defer content.Close()
	bar := a.progress("reading", content.Size)
	if terminal {
		bar.done()
	}
	defer bar.done()
	if !terminal {
		_, err = io.Copy(a.out, bar.reader(content))
		return err
	}
	return copyLines(a.out, content)
}

// copyLines copies text, and ends a last line that has no end: the shell's
// prompt would stand behind it.
func copyLines(out io.Writer, text io.Reader) error {
	last := &lastByte{Reader: text, b: '\n'}
	if _, err := io.Copy(out, last); err != nil || last.b == '\n' {
		return err
	}
	_, err := io.WriteString(out, "\n")
	return err
}

// lastByte remembers the last byte that was read.
type lastByte struct {
	io.Reader
	b byte
}

func (l *lastByte) Read(p []byte) (int, error) {
	n, err := l.Reader.Read(p)
	if n > 0 {
		l.b = p[n-1]
	}
	return n, err
}

// rehearse reads the document to its end, where its digest is compared, and
// with text refuses what a terminal should not get.
func (a *app) rehearse(ctx context.Context, c *client.Client, id record.TransferID, o getOptions, text bool) error {
	content, err := o.open(ctx, c, id)
	if err != nil {
		return err
	}
	defer content.Close()
	bar := a.progress("hashing", content.Size)
	defer bar.done()
	var w io.Writer = io.Discard
	if text {
		w = &textOnly{}
	}
	_, err = io.Copy(w, bar.reader(content))
	return err
}

func errBinary() error {
	return record.WithHint(record.Errorf(record.Invalid, "this is not plain text, and a terminal is no place for it"),
		"-o FILE writes it to a file; in a pipe it goes to the next program")
}

// textOnly fails when anything is written to it that is not plain text: a
// partner's document must not control a terminal.
type textOnly struct {
	rest []byte // of a character that is cut off
}

func (t *textOnly) Write(p []byte) (int, error) {
	text := append(t.rest, p...)
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		if r == utf8.RuneError && n == 1 {
			if !utf8.FullRune(text) {
				break
			}
			return 0, errBinary()
		}
		if !bytes.ContainsRune([]byte("\n\r\t"), r) && record.Printable(string(r), 1) != string(r) {
			return 0, errBinary()
		}
		text = text[n:]
	}
	t.rest = bytes.Clone(text)
	return len(p), nil
}

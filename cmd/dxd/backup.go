package main

import (
	"context"
	"errors"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"dxd/client"
	"dxd/internal/daemon"
	"dxd/record"
)

func (a *app) backupCommand() *cobra.Command {
	force := false
	cmd := a.either(&cobra.Command{
		Use:   "backup FILE",
		Short: "Write a backup of the state directory, while the daemon runs or not",
		Long: `Write a backup of the state directory: keys, journal, configuration, and all
documents that are kept, as they were at one moment. "-" is standard output.

It is as well locked as the directory: nobody reads it without the passphrase,
but who has both has everything, what is erased later included. Documents that
are half received are not part of it: their senders send them again.`,
		Example: `  dxd backup /mnt/backup/dxd-2026-11-28.tar
  dxd backup - | ssh vault 'cat > dxd.tar'`,
		Args: cobra.ExactArgs(1),
	}, func(ctx context.Context, c *client.Client, args []string) error {
		content, err := c.Backup(ctx)
		if err != nil {
			return err
		}
		defer content.Close()
		return a.writeBackup(args[0], content, force)
	})
	cmd.Flags().BoolVar(&force, "force", false, "replace a file that exists")
	return cmd
}

// writeBackup writes what comes, and takes it for a backup only if it is whole.
func (a *app) writeBackup(path string, content io.Reader, force bool) error {
	bar := a.progress("writing", -1)
	defer bar.done()
	if path == "-" {
		if isTerminal(a.out) {
			return errBinary()
		}
		return daemon.CheckBackup(io.TeeReader(bar.reader(content), a.out))
	}
	file, err := newOutput(path, force)
	if err != nil {
		return err
	}
	checked, check := io.Pipe()
	whole := make(chan error, 1)
	go func() { // ends with what is read
		err := daemon.CheckBackup(checked)
		checked.CloseWithError(err)
		whole <- err
	}()
	// Behind the end of the archive is nothing but the end of the answer.
	_, err = io.Copy(io.MultiWriter(file, check), bar.reader(content))
	check.CloseWithError(err)
	if whole := <-whole; err == nil || whole != nil && !errors.Is(whole, err) {
		err = whole
	}
	if err == nil {
		err = mayPlace(path, force)
	}
	if err != nil {
		return errors.Join(err, file.Abort())
	}
	if err := file.Commit(); err != nil {
		return err
	}
	bar.done()
	return a.print(gotJSON{path, file.sha256(), file.size},
		field{"file", path}, field{"sha256", file.sha256()}, field{"size", strconv.FormatInt(file.size, 10)})
}

func (a *app) restoreCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Make a state directory of a backup",
		Long: `Make a state directory of a backup, where there is none. "-" is standard input.

A backup knows nothing of what came after it. So the daemon does not run before
"dxd restore confirm": there you see whom it takes for partners. API tokens are
made anew. What was received since has to be sent again by its senders, and
partners see that this copy is an older one. If the former state directory still
is somewhere, it must never run again.`,
		Example: `  dxd restore dxd-2026-11-28.tar --dir /var/lib/dxd
  dxd restore confirm --dir /var/lib/dxd
  dxd run --dir /var/lib/dxd`,
		Args: cobra.ExactArgs(1),
		RunE: a.do(func(cmd *cobra.Command, args []string) error { return a.restore(cmd.Context(), args[0]) }),
	}
	cmd.AddCommand(a.restoreConfirmCommand())
	return cmd
}

type restoredJSON struct {
	Dir  string `json:"dir"`
	Made string `json:"made"`
}

func (a *app) restore(ctx context.Context, path string) error {
	dir, err := a.stateDir()
	if err != nil {
		return err
	}
	backup, err := a.openDocument(path)
	if err != nil {
		return err
	}
	defer backup.Close()
	bar := a.progress("restoring", backup.size)
	defer bar.done()
	made, when, err := daemon.Restore(readerUntil{ctx, bar.reader(backup.until(ctx))}, dir)
	if err != nil && ctx.Err() != nil {
		return ctx.Err() // of which nothing is left, and the backup is not to blame
	}
	if err != nil {
		return err
	}
	bar.done()
	a.say("look at its partners before it runs: `dxd restore confirm`")
	return a.print(restoredJSON{made.Path(), when.Format("2006-01-02T15:04:05Z07:00")},
		field{"directory", made.Path()}, field{"backup of", localTime(when)})
}

func (a *app) restoreConfirmCommand() *cobra.Command {
	var passphraseFile string
	yes := false
	cmd := &cobra.Command{
		Use:   "confirm",
		Short: "Say that the partners of a restored state directory are still right",
		Long: `Say that the partners of a restored state directory are still right, so that the
daemon runs. Whoever was suspended or removed after the backup stands there as
before: "dxd partner suspend" and "dxd partner remove" work beforehand, too.`,
		Args: cobra.NoArgs,
	}
	cmd.RunE = a.do(func(cmd *cobra.Command, _ []string) error {
		return a.confirmRestore(cmd.Context(), passphraseFile, yes)
	})
	cmd.Flags().StringVar(&passphraseFile, "passphrase-file", "", "file with the passphrase (DXD_PASSPHRASE_FILE)")
	cmd.Flags().BoolVar(&yes, "yes", false, "they are, without being asked")
	return cmd
}

func (a *app) confirmRestore(ctx context.Context, passphraseFile string, yes bool) (err error) {
	dir, c, err := a.configured()
	if err != nil {
		return err
	}
	if err := isFree(dir); err != nil {
		return err
	}
	keys, err := a.unlock(ctx, dir, passphraseFile)
	if err != nil {
		return err
	}
	o, err := daemon.Open(ctx, dir, c, keys, a.quietLog(), daemon.Watcher{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.Close()) }()
	if !yes {
		if !isTerminal(a.in) {
			return usageError{record.WithHint(record.Errorf(record.Invalid, "nobody is there to look at the partners"),
				"`dxd partner list` shows them; --yes says that they are right")}
		}
		rows := [][]string{}
		for _, p := range o.Book.List() {
			rows = append(rows, []string{p.Alias, p.Card.Body.Name, string(p.State), p.Org.Fingerprint().String()})
		}
		if err := printRows(a.stderr, []string{"ALIAS", "NAME", "STATE", "FINGERPRINT"}, rows); err != nil {
			return err
		}
		if err := a.ask(ctx, "Are these still your partners, in these states? [y/N] "); err != nil {
			return err
		}
	}
	if err := o.ConfirmRestore(ctx); err != nil {
		return err
	}
	a.say("confirmed: `dxd run` starts the daemon")
	return nil
}

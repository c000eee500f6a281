// Command dxd runs an organisation's daemon, and is the command line that
// talks to it.
//
// It only wires rooms together, one file per subcommand: no rule about
// documents, partners or chains is made here.
package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"dxd/record"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

const (
	exitUsage       = 2
	exitInterrupted = 130 // 128 and the number of SIGINT, as shells have it
)

// run executes one command line and gives its exit code.
func run(args []string, in io.Reader, out, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second signal ends the process at once.
	context.AfterFunc(ctx, stop)

	a := &app{in: in, out: out, stderr: stderr}
	root := a.root()
	strict(root)
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		a.say("interrupted")
		return exitInterrupted
	}
	return a.exit(cmd, err)
}

// root is the command without arguments.
func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "dxd",
		Short: "Send confidential documents straight to partner organisations, and prove it later",
		Long: `dxd sends confidential documents straight to partner organisations, end to end
encrypted, and anchors salted hashes of every record on a blockchain, so that
each party can prove later, even to a stranger, what was sent, by whom, to whom
and when.`,
		Example: `  dxd init --name "Acme Ltd"                  make keys and configuration
  dxd run                                     run the daemon
  dxd card > acme.card                        hand this file to a partner
  dxd partner add bolt.card --alias bolt      accept theirs
  dxd send contract.pdf --to bolt --wait delivered`,
		PersistentPreRunE: refuseEmpty,
		SilenceErrors:     true,
		SilenceUsage:      true,
	}
	flags := root.PersistentFlags()
	flags.StringVar(&a.dirFlag, "dir", "", "state directory (DXD_DIR; default ~/.dxd)")
	flags.BoolVar(&a.json, "json", false, "print one JSON value")
	flags.StringVar(&a.api, "api", "", "URL of the daemon, with its token in the file DXD_TOKEN_FILE (default: the socket in the state directory)")
	cobra.EnableCommandSorting = false // in the order in which a newcomer needs them
	for _, group := range []struct {
		id, title string
		commands  []*cobra.Command
	}{
		{"begin", "To begin:", []*cobra.Command{a.initCommand(), a.runCommand(), a.cardCommand(), a.pairCommand(), a.partnerCommand()}},
		{"documents", "Documents:", []*cobra.Command{a.sendCommand(), a.messageCommand(), a.transfersCommand(), a.transferCommand(), a.getCommand(), a.acceptCommand(), a.refuseCommand(), a.cancelCommand(), a.eraseCommand(), a.holdCommand(), a.releaseCommand(), a.eventsCommand()}},
		{"proof", "Proof:", []*cobra.Command{a.notarizeCommand(), a.evidenceCommand(), a.verifyCommand(), a.anchorCommand()}},
		{"care", "Care:", []*cobra.Command{a.doctorCommand(), a.checkCommand(), a.backupCommand(), a.restoreCommand(), a.keyCommand(), a.versionCommand()}},
	} {
		root.AddGroup(&cobra.Group{ID: group.id, Title: group.title})
		for _, c := range group.commands {
			c.GroupID = group.id
			root.AddCommand(c)
		}
	}
	root.SetHelpCommandGroupID("care")
	root.SetCompletionCommandGroupID("care")
	return root
}

// strict has cobra's own commands refuse what they don't know: by themselves
// they print a help text in its place, and end with 0.
func strict(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		switch c.Name() {
		case "help":
			c.Args = func(c *cobra.Command, args []string) error {
				topic, rest, err := c.Root().Find(args)
				if err == nil && len(rest) > 0 {
					err = usagef("unknown command %q for %q", rest[0], topic.CommandPath())
				}
				return err
			}
		case "completion":
			c.RunE = func(*cobra.Command, []string) error {
				return usagef("dxd completion needs a subcommand: bash, zsh, fish or powershell")
			}
		}
	}
}

// exitCode ends a command that has said everything itself.
type exitCode int

func (e exitCode) Error() string { return "exit code " + strconv.Itoa(int(e)) }

// exit prints an error and gives its exit code.
func (a *app) exit(cmd *cobra.Command, err error) int {
	if err == nil {
		return 0
	}
	if code, ok := err.(exitCode); ok {
		return int(code)
	}
	hint := record.Hint(err)
	code := record.KindOf(err).ExitCode()
	// What fails before a command has begun is how it was called.
	if usage := (usageError{}); errors.As(err, &usage) || !a.started {
		code = exitUsage
		if hint == "" {
			hint = "usage: " + cmd.UseLine() + " (--help tells more)"
			if !cmd.HasParent() {
				hint = "`dxd help` lists all commands"
			}
		}
	}
	message, similar, found := strings.Cut(err.Error(), "\n\nDid you mean this?\n") // as cobra has it
	if found {
		hint = "did you mean " + strings.Join(strings.Fields(similar), " or ") + "?"
	}
	if strings.HasPrefix(message, "accepts ") { // as cobra counts arguments
		message = cmd.CommandPath() + " " + message
	}
	a.say("error: " + strings.ReplaceAll(message, "\n", "; ")) // as errors.Join has them
	if hint != "" {
		a.say("hint: " + hint)
	}
	return code
}

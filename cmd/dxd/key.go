package main

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dxd/api/apitype"
	"dxd/client"
	"dxd/crypto"
	"dxd/record"
)

func (a *app) keyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key",
		Short: "The keys of this organisation",
		Args:  cobra.NoArgs,
		RunE: a.do(func(*cobra.Command, []string) error {
			return usagef("dxd key needs a subcommand: rotate")
		}),
	}
	cmd.AddCommand(a.keyRotateCommand())
	return cmd
}

func (a *app) keyRotateCommand() *cobra.Command {
	var now bool
	roles := make([]string, len(crypto.Roles), len(crypto.Roles)+1)
	for i, role := range crypto.Roles {
		roles[i] = string(role)
	}
	roles = append(roles, storageKey)
	cmd := &cobra.Command{
		Use:   "rotate " + strings.Join(roles, "|"),
		Short: "Draw a new key, and sign a card with it or seal what is kept under it",
		Long: `Draw a new key and sign a card with it, which partners take by themselves. What
is under way goes on, and evidence from before stays good. Make a new backup of
the state directory afterwards: an older one lacks the key.

  signing    signs records from now on. The older key leaves with the card after
             that, and loses its force when that card is anchored: if it was
             stolen, have one made at once with dxd card renew.
  recipient  documents for you are sealed for it. The older key is kept until
             all partners have taken the new card.
  account    anchors on the chain. What was signed before is still anchored by
             the older account, which then hands over what it holds.
  node       the identity of this daemon on the network. It is announced first,
             and serves once all active partners have taken the new card;
             dxd doctor says for whom it waits. --now does not wait: partners
             that have not taken the card can't be reached until they are given
             a new card file by hand.
  storage    seals the journal, and wraps the keys of payloads; it is on no card.
             All that is kept is sealed anew while the daemon goes on, and then
             the older key is destroyed. From then on what was erased before is
             out of reach also for one who has the disk, the keyring and the
             passphrase: what the disk still holds of it opens under no key that
             is left. Older backups hold the older key: destroy them, too. The
             command waits until it is done; a daemon that starts anew goes on.`,
		Example: `  dxd key rotate signing
  dxd key rotate node
  dxd key rotate node --now
  dxd key rotate storage`,
		ValidArgs: roles,
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
	}
	a.either(cmd, func(ctx context.Context, c *client.Client, args []string) error {
		if args[0] == storageKey {
			return a.rotateStorage(ctx, c)
		}
		return a.rotateKey(ctx, c, args[0], now)
	})
	cmd.PreRunE = func(_ *cobra.Command, args []string) error {
		if now && args[0] != string(crypto.RoleNode) {
			return usagef("--now is for a node's key: any other is in use at once")
		}
		return nil
	}
	cmd.Flags().BoolVar(&now, "now", false, "of a node: don't wait for partners")
	return cmd
}

// maxKey is how much of a key people are shown: all of it, but of a recipient
// key, which fills a screen, the beginning.
const maxKey = 80

func (a *app) rotateKey(ctx context.Context, c *client.Client, role string, now bool) error {
	made, err := c.RotateKey(ctx, role, now)
	if err != nil {
		return err
	}
	a.say("make a new backup of the state directory: an older one lacks this key")
	return a.print(made, field{"role", made.Role}, field{"new key", record.Printable(made.Key, maxKey)},
		field{"card", strconv.FormatInt(made.Serial, 10)}, field{"waits for", strings.Join(made.WaitsFor, ", ")})
}

// storageKey is the one key that is on no card.
const storageKey = "storage"

// storagePoll is how often the daemon is asked how far it is.
const storagePoll = 200 * time.Millisecond

// storageJSON is what came of the rotation, under the role as with any other key.
type storageJSON struct {
	Role string `json:"role"`
	apitype.StorageRotation
}

// rotateStorage begins a rotation of the storage key, or joins one that is
// under way, and waits for its end.
func (a *app) rotateStorage(ctx context.Context, c *client.Client) error {
	s, err := c.RotateStorageKey(ctx)
	if err != nil {
		return err
	}
	bar := &progress{}
	defer func() { bar.done() }()
	tick := time.NewTicker(storagePoll)
	defer tick.Stop()
	for begun := false; s.UnderWay && s.Error == ""; {
		if s.Of > 0 && !begun {
			bar, begun = a.counting("values", s.Of), true
		}
		bar.set(s.Done)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		if s, err = c.StorageRotation(ctx); err != nil {
			return err
		}
	}
	bar.done()
	if s.UnderWay {
		return record.WithHint(record.Errorf(record.Unavailable, "couldn't rotate the storage key to its end yet: %s", s.Error),
			"nothing is lost, and the older key is still there; it is tried again while the daemon runs, and at its next start")
	}
	a.say("make a new backup of the state directory, and destroy older ones: they hold the older key, and what was erased since")
	return a.print(storageJSON{storageKey, s}, field{"role", storageKey}, field{"values", strconv.FormatInt(s.Of, 10)}, field{"damaged before", lostText(s.Lost)})
}

func lostText(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10) + ", left alone"
}

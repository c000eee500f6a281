package crypto_test

import (
	"bytes"
	"slices"
	"testing"

	"dxd/crypto"
	"dxd/record"
)

// with rotates, and fails the test if that can't be done.
func with(t *testing.T, k *crypto.Keyring, role crypto.Role) *crypto.Keyring {
	t.Helper()
	next, err := k.With(role)
	if err != nil {
		t.Fatal(err)
	}
	return next
}

func TestANewKeyComesFirstAndANodesLast(t *testing.T) {
	for _, role := range crypto.Roles {
		k := generate(t)
		before := k.Keys(role)
		next := with(t, k, role)
		if !slices.Equal(k.Keys(role), before) {
			t.Errorf("%s: the keyring changed before it became the next", role)
		}
		k.Become(next)
		after := k.Keys(role)
		kept := after[len(after)-1]
		if role == crypto.RoleNode {
			kept = after[0]
		}
		if len(after) != 2 || kept != before[0] {
			t.Errorf("%s: %v became %v", role, before, after)
		}
		for _, other := range crypto.Roles {
			if other != role && len(k.Keys(other)) != 1 {
				t.Errorf("%s: there is another %s key, too", role, other)
			}
		}
	}
}

func TestThereIsAnEndToKeysOfASort(t *testing.T) {
	k := generate(t)
	for range 15 {
		k = with(t, k, crypto.RoleSigning)
	}
	if _, err := k.With(crypto.RoleSigning); record.KindOf(err) != record.Conflict {
		t.Errorf("a card with 17 signing keys: %v", err)
	}
}

func TestTheOnlyKeyIsNotDropped(t *testing.T) {
	for _, role := range crypto.Roles {
		k := generate(t)
		if _, err := k.Without(role, k.Keys(role)[0]); err == nil {
			t.Errorf("the only %s key was dropped", role)
		}
		two := with(t, k, role)
		one, err := two.Without(role, k.Keys(role)[0])
		if err != nil {
			t.Fatal(err)
		}
		if got := one.Keys(role); len(got) != 1 || got[0] == k.Keys(role)[0] {
			t.Errorf("%s: %v is left", role, got)
		}
	}
}

func TestARotatedKeyringOpensWithTheSamePassphrase(t *testing.T) {
	for _, passphrase := range []string{"correct horse", ""} {
		first := lock(t, generate(t), passphrase)
		k, err := crypto.Unlock(first, []byte(passphrase))
		if err != nil {
			t.Fatal(err)
		}
		next := with(t, k, crypto.RoleAccount)
		var files [2][]byte
		for i := range files {
			if files[i], err = next.Relock(); err != nil {
				t.Fatal(err)
			}
		}
		if passphrase != "" && bytes.Equal(files[0], files[1]) {
			t.Error("two files have one nonce")
		}
		again, err := crypto.Unlock(files[0], []byte(passphrase))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(again.Keys(crypto.RoleAccount), next.Keys(crypto.RoleAccount)) {
			t.Error("the file holds other keys")
		}
		if _, err := crypto.Unlock(files[1], []byte("wrong")); passphrase != "" && record.KindOf(err) != record.Refused {
			t.Errorf("a wrong passphrase: %v", err)
		}
	}
}

func TestAKeyringFromNoFileIsNotLockedAgain(t *testing.T) {
	// Else it would be written without protection.
	if _, err := generate(t).Relock(); record.KindOf(err) != record.Internal {
		t.Errorf("it gave %v", err)
	}
}

func TestARecordIsSignedByAKeyOnTheCardThatItNames(t *testing.T) {
	k := generate(t)
	card := func(serial int64, previous record.RecordID) record.Signed[record.Card] {
		c, err := k.SignCard(record.Card{Header: record.Header{Created: 1}, Name: "Acme", Serial: serial, Previous: previous, Expires: 2})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	holds := func(c record.Signed[record.Card]) bool {
		n, err := k.SignNotarization(record.Notarization{Header: record.Header{Card: c.ID(), Created: 1}, Root: record.Hash{1}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = record.OpenNotarization(n.Envelope, c)
		return err == nil
	}
	older := card(1, record.RecordID{})
	k.Adopt(older)
	k.Become(with(t, k, crypto.RoleSigning))
	if !holds(older) {
		t.Error("between the new key and its card, records are signed with a key that is on no card")
	}
	newer := card(2, older.ID())
	k.Adopt(newer)
	dropped, err := k.Without(crypto.RoleSigning, k.Keys(crypto.RoleSigning)[1])
	if err != nil {
		t.Fatal(err)
	}
	k.Become(dropped)
	// Who looked for our card before it was replaced signs a moment later.
	if !holds(older) || !holds(newer) {
		t.Errorf("under the older card %v, under the newer %v", holds(older), holds(newer))
	}
	if crypto.KeysOn(newer.Body, crypto.RoleSigning)[0] != k.Keys(crypto.RoleSigning)[0] {
		t.Error("the new card does not begin with the new key")
	}
}

func TestHeadersForAnOlderRecipientKeyOpenUntilItIsDropped(t *testing.T) {
	k := generate(t)
	old := k.Recipient()
	key, _ := sealed(t, []byte("text"))
	header, err := crypto.SealHeader(key, old)
	if err != nil {
		t.Fatal(err)
	}
	k.Become(with(t, k, crypto.RoleRecipient))
	if _, err := k.OpenHeader(header); err != nil || k.Recipient() == old {
		t.Errorf("an older header gives %v", err)
	}
	next, err := k.Without(crypto.RoleRecipient, old)
	if err != nil {
		t.Fatal(err)
	}
	k.Become(next)
	if _, err := k.OpenHeader(header); record.KindOf(err) != record.Refused {
		t.Errorf("a header for a dropped key gives %v", err)
	}
}

func TestEachNodeSignsItsOwnPresence(t *testing.T) {
	k := generate(t)
	k.Become(with(t, k, crypto.RoleNode))
	card, err := k.SignCard(record.Card{Header: record.Header{Created: 1}, Name: "Acme", Serial: 1, Expires: 2})
	if err != nil {
		t.Fatal(err)
	}
	for _, node := range card.Body.Nodes {
		p, err := k.SignPresence(record.Presence{Header: record.Header{Card: card.ID(), Created: 1}, Node: node, Expires: 2})
		if err != nil {
			t.Fatal(err)
		}
		if opened, err := record.OpenPresence(p.Envelope, card); err != nil || opened.Body.Node != node {
			t.Errorf("the presence of %s: %v", node, err)
		}
	}
	if _, err := k.SignPresence(record.Presence{Node: generate(t).Node()}); err == nil {
		t.Error("a presence of another's node was signed")
	}
}

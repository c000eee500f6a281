package exchange

import (
	"dxd/blobstore"
)

// What a transfer carries is kept for some time after its way has ended, and
// what is on its way in as long as something comes of it. Each such transfer
// stands on a shelf, in the order of that time, so that what falls due is
// found without looking at the rest. The setting is no part of the key: a new
// one holds for what lies there, too.

// shelf is a sort of thing that is kept for some time.
type shelf string

const (
	shelfOut  shelf = "out"  // what went out, or was to; since it ended
	shelfIn   shelf = "in"   // what came in; since it was received
	shelfOpen shelf = "open" // what came in part; until it expires
)

// shelfKey is the transfer's place on the shelf that it stands on, if it does.
func (t Transfer) shelfKey() (key blobstore.Key, ok bool) {
	switch {
	case t.State == Receiving:
		key = shelfOpen.at(t.Expires)
	case t.Ended == 0 || t.Erased != 0:
		return "", false
	case t.Direction == Out:
		key = shelfOut.at(t.Ended)
	default:
		key = shelfIn.at(t.Ended)
	}
	return key + blobstore.Key(t.ID[:]), true
}

func (s shelf) prefix() blobstore.Key { return prefixShelf + blobstore.Key(s) + "/" }

// at is where what is of that time begins.
func (s shelf) at(ms int64) blobstore.Key { return s.prefix() + bigEndian(ms) }

// shelve puts the transfer where it is looked for when its time is over. One
// that is held has no such time.
func (t Transfer) shelve(tx blobstore.Tx) error {
	key, ok := t.shelfKey()
	if !ok {
		return nil
	}
	if held, err := isHeld(tx, t.ID); held || err != nil {
		return err
	}
	return tx.Set(key, []byte(bigEndian(t.SealedLength)))
}

// unshelve is to be called before what shelfKey looks at changes.
func (t Transfer) unshelve(tx blobstore.Tx) error {
	if key, ok := t.shelfKey(); ok {
		return tx.Delete(key)
	}
	return nil
}

// settle notes that the transfer's way has ended, by its last change of state:
// from then on its payload is kept for as long as the configuration says. That
// of a transfer which was cancelled and delivered all the same counts from the
// receipt on.
func (t *Transfer) settle(tx blobstore.Tx) error {
	if err := t.unshelve(tx); err != nil {
		return err
	}
	t.Ended = t.Updated
	return t.shelve(tx)
}

// mark notes that the transfer needs its payload file.
func (t Transfer) mark(tx blobstore.Tx) error {
	if t.Payload.IsZero() {
		return nil
	}
	return tx.Set(marksKey(t.Payload)+blobstore.Key(t.ID[:]), nil)
}

// unmark notes that it does not any more, and gives the file that no transfer
// needs now, if that is so. The file is to be removed behind the update; a
// crash before leaves it to the sweep.
func (t *Transfer) unmark(tx blobstore.Tx) (garbage blobstore.FileID, err error) {
	file := t.Payload
	if file.IsZero() {
		return file, nil
	}
	t.Payload = blobstore.FileID{}
	if err := tx.Delete(marksKey(file) + blobstore.Key(t.ID[:])); err != nil {
		return blobstore.FileID{}, err
	}
	if t.Direction == In { // nobody shares it, so that an older mark is its own
		if err := tx.Delete(fileKey(file)); err != nil {
			return blobstore.FileID{}, err
		}
	}
	needed, err := isMarked(tx, file)
	if needed || err != nil {
		return blobstore.FileID{}, err
	}
	return file, nil
}

// isMarked tells whether a transfer needs the file.
func isMarked(tx blobstore.ReadTx, file blobstore.FileID) (bool, error) {
	for _, err := range tx.Scan(fileKey(file), "", false) {
		return err == nil, err
	}
	return false, nil
}

// marksKey is what the marks of a file begin with. In older journals one mark,
// under fileKey, stands for all of its transfers, until adopt has run.
func marksKey(file blobstore.FileID) blobstore.Key { return fileKey(file) + "/" }

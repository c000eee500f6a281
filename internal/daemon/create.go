package daemon

import (
	"context"

	"dxd/crypto"
	"dxd/internal/statedir"
)

// Create makes a state directory with new keys, locked with the passphrase; an
// empty one leaves them to whoever reads the disk.
func Create(ctx context.Context, path, name string, passphrase, config []byte) (statedir.Dir, *crypto.Keyring, error) {
	keys, err := crypto.Generate()
	if err != nil {
		return statedir.Dir{}, nil, err
	}
	locked, err := keys.Lock(passphrase)
	if err != nil {
		return statedir.Dir{}, nil, err
	}
	if err := ctx.Err(); err != nil {
		return statedir.Dir{}, nil, err
	}
	// From here on as every start will have them: they can be locked again.
	if keys, err = crypto.Unlock(locked, passphrase); err != nil {
		return statedir.Dir{}, nil, err
	}
	dir, err := Init(ctx, path, name, keys, locked, config)
	return dir, keys, err
}

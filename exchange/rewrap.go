package exchange

import (
	"strings"

	"dxd/blobstore"
	"dxd/crypto"
)

// HoldsFileKey tells whether a value of the journal is a wrapped file key, which
// a rotation of the storage key has to wrap anew.
func HoldsFileKey(key blobstore.Key) bool { return strings.HasPrefix(string(key), string(prefixKey)) }

// Rewrap wraps the file key under this key of the journal under the storage key
// in use. The error is of kind Damaged if it does not open.
func Rewrap(keys *crypto.Keyring, key blobstore.Key, wrapped []byte) ([]byte, error) {
	ad := []byte(key[len(prefixKey):])
	fileKey, err := keys.UnwrapFileKey(wrapped, ad)
	if err != nil {
		return nil, err
	}
	return keys.WrapFileKey(fileKey, ad), nil
}

package daemon

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"dxd/api"
	"dxd/internal/statedir"
	"dxd/record"
)

// TokenFile is the file in the state directory with the token by which local
// applications use the API over TCP. It has all scopes.
const TokenFile = "api.token"

// tokenPrefix lets scanners for leaked secrets recognise a token.
const tokenPrefix = "dxd_"

// tokens knows valid tokens by their hashes.
type tokens map[[sha256.Size]byte][]api.Scope

// tokens reads the token file, and makes one if the API listens on TCP and
// there is none yet.
func (d *Daemon) tokens() (tokens, error) {
	path := filepath.Join(d.Dir.Path(), TokenFile)
	content, err := statedir.ReadFile(path, 1024)
	if errors.Is(err, fs.ErrNotExist) || record.KindOf(err) == record.NotFound {
		if d.Config.API.TCP == "" {
			return tokens{}, nil
		}
		content, err = newToken(path)
	}
	if err != nil {
		return nil, err
	}
	token := strings.TrimSpace(string(content))
	if len(token) < len(tokenPrefix)+32 {
		return nil, record.WithHint(record.Errorf(record.Invalid, "%s holds no token", path), "remove it, and the next start makes a new one")
	}
	return tokens{sha256.Sum256([]byte(token)): {api.Admin}}, nil
}

func newToken(path string) ([]byte, error) {
	secret := make([]byte, 24)
	rand.Read(secret)
	content := []byte(tokenPrefix + hex.EncodeToString(secret) + "\n")
	return content, statedir.WriteFile(path, content, os.FileMode(0o600))
}

// authorize tells what a token allows. Hashes are compared in constant time,
// so that answers' timing says nothing about how much of a token is right.
func (t tokens) authorize(token string) []api.Scope {
	hash := sha256.Sum256([]byte(token))
	for known, scopes := range t {
		if subtle.ConstantTimeCompare(known[:], hash[:]) == 1 {
			return scopes
		}
	}
	return nil
}

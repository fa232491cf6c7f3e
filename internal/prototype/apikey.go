package prototype

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// IssuedKey is the secret of a new API key, and which key of the prototype it replaces.
type IssuedKey struct {
	Institution string `json:"institutionId"`
	Prototype   string `json:"prototypeKeyId"`
	Label       string `json:"label"`
	Role        string `json:"role"`
	APIKey      string `json:"apiKey"`
}

// KeyFile keeps the secrets of new API keys, a JSON object a line, for their owner alone to read. A
// secret is in the file before its key is made: an import that is run again makes the key with it.
type KeyFile struct {
	file   *os.File
	issued map[string]IssuedKey
}

// OpenKeyFile opens a file of an earlier run, or makes one. Others must not be able to read it.
func OpenKeyFile(path string) (*KeyFile, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600) //nolint:gosec // The operator says where.
	if err != nil {
		return nil, err
	}
	k := &KeyFile{file: file, issued: make(map[string]IssuedKey)}
	if err := k.read(); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), file.Close())
	}
	return k, nil
}

func (k *KeyFile) read() error {
	about, err := k.file.Stat()
	if err != nil {
		return err
	}
	if about.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("others can read or write it (%s): give it the mode 0600", about.Mode())
	}

	for lines := bufio.NewScanner(k.file); ; {
		if !lines.Scan() {
			return lines.Err()
		}
		var key IssuedKey
		if err := json.Unmarshal(lines.Bytes(), &key); err != nil || escrow.CheckSecret(key.APIKey) != nil {
			return errors.New("it has a line that is no API key of an import")
		}
		k.issued[key.Prototype] = key
	}
}

// Close closes the file.
func (k *KeyFile) Close() error { return k.file.Close() }

// secretFor returns the secret that replaces a key, as it is in the file or is written there now;
// Sync of the file has it there for certain.
func (k *KeyFile) secretFor(random io.Reader, of escrow.InstitutionID, row keyRow) (string, error) {
	if known, ok := k.issued[row.ID]; ok {
		return known.APIKey, nil
	}

	var bits [32]byte
	if _, err := io.ReadFull(random, bits[:]); err != nil {
		return "", err
	}
	key := IssuedKey{
		Institution: of.String(),
		Prototype:   row.ID,
		Label:       row.Label,
		Role:        row.Role,
		APIKey:      escrow.NewSecret(bits),
	}
	line, err := json.Marshal(key) //nolint:gosec // The file is for the secret.
	if err != nil {
		return "", err
	}
	if _, err := k.file.Write(append(line, '\n')); err != nil {
		return "", err
	}
	k.issued[row.ID] = key
	return key.APIKey, nil
}

func (t *tenant) importKeys(ctx context.Context) error {
	keys, err := t.from.keys(ctx, t.row.ID)
	if err != nil {
		return err
	}
	for page := range slices.Chunk(keys, pageSize) {
		if err := t.importKeyPage(ctx, page); err != nil {
			return err
		}
	}
	return nil
}

// importKeyPage makes new keys in the place of those of the prototype, whose hashes are of secrets
// in another form, which no server here takes.
func (t *tenant) importKeyPage(ctx context.Context, page []keyRow) error {
	var things []*wanted
	for _, row := range page {
		if line := t.withoutNewKey(row); line != nil {
			if err := t.report(*line); err != nil {
				return err
			}
			continue
		}

		secret, err := t.config.Keys.secretFor(t.config.Random, t.id, row)
		if err != nil {
			return err
		}
		input := escrow.KeyInput{Label: row.Label, Role: row.Role}
		command, faults := escrow.NewCreateKey(input, escrow.HashSecret(secret))
		things = append(things, newWanted(Keys, row.ID, command, faults, []Line{
			changed(Keys, row.ID, "new_secret", "a new key takes its place; its secret is in the file of new keys"),
		}))
	}
	if len(things) == 0 {
		return nil
	}

	if err := t.config.Keys.file.Sync(); err != nil {
		return err
	}
	return t.makeAll(ctx, t.id, things, nil)
}

// withoutNewKey returns the line of a key that gets none in its place now, and nil for others.
func (t *tenant) withoutNewKey(row keyRow) *Line {
	replaced := Line{Kind: Keys, ID: row.ID, Outcome: Replaced}
	subject, made := t.to.made[requestID(Keys, row.ID)]

	switch {
	case t.isLeftOut():
		replaced = missing(Keys, row.ID, Institutions, t.row.ID)
	case row.RevokedAt != nil:
		replaced.Code, replaced.Message = "revoked", "it was revoked"
	case t.config.Keys == nil:
		replaced.Code = "new_key_needed"
		replaced.Message = fmt.Sprintf("the secret of %q is not known here: issue a new %s key", row.Label, row.Role)
	case made && t.config.Keys.issued[row.ID].APIKey == "":
		replaced.NewID, replaced.Code = subject, "secret_elsewhere"
		replaced.Message = "an earlier run has made its key; the secret is in the file of that run"
	default:
		return nil
	}
	return &replaced
}

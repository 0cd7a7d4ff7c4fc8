package seal

import (
	"encoding/base64"
	"fmt"
	"io"
	"strings"
)

const tokenPrefix = "hft1_"

// Token is a key for machines: random enough to need no Argon2id.
type Token [32]byte

// NewToken draws a token.
func NewToken(random io.Reader) (Token, error) {
	var t Token
	if _, err := io.ReadFull(random, t[:]); err != nil {
		return Token{}, fmt.Errorf("draw a token: %w", err)
	}
	return t, nil
}

// ParseToken reads what String wrote. Its errors wrap ErrNotToken and do not
// repeat the text.
func ParseToken(s string) (Token, error) {
	text, ok := strings.CutPrefix(s, tokenPrefix)
	if !ok || len(text) != tokenEncoding.EncodedLen(len(Token{})) {
		return Token{}, fmt.Errorf("%w: a token is %s and 43 letters, digits, '-' or '_'", ErrNotToken, tokenPrefix)
	}
	raw, err := tokenEncoding.DecodeString(text)
	if err != nil || len(raw) != len(Token{}) {
		return Token{}, fmt.Errorf("%w: it has a typing error behind %s", ErrNotToken, tokenPrefix)
	}
	return Token(raw), nil
}

// String returns the token itself, to be handed over and kept secret.
func (t Token) String() string { return tokenPrefix + tokenEncoding.EncodeToString(t[:]) }

var tokenEncoding = base64.RawURLEncoding.Strict()

package solr

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
)

// refusal is an answer that is not 200.
type refusal struct {
	code int
	text string // Solr's words, or ""
}

// Error implements error.
func (r *refusal) Error() string {
	if r.text == "" {
		return fmt.Sprintf("%d %s", r.code, http.StatusText(r.code))
	}
	return fmt.Sprintf("%d: %s", r.code, r.text)
}

// code returns the code that a server refused with, or 0.
func code(err error) int {
	var r *refusal
	if errors.As(err, &r) {
		return r.code
	}
	return 0
}

// permissions says what a user needs where Solr asks for users.
const permissions = "snapshots need the permissions read, update, config-read, metrics-read and core-admin-read, restores core-admin-edit too"

// explain says, of an error of a request, what failed and what can be done about
// it. What ended a context comes first.
func (p place) explain(ctx context.Context, doing string, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err // without the address, which may say where a restore is fetched from
	}
	at := p.at()
	var network *net.OpError
	var certificate *tls.CertificateVerificationError
	switch c := code(err); {
	case c == http.StatusUnauthorized && p.user == "":
		return fmt.Errorf("%s asks for a user and password: write solr://user@%s and password_file: %w", at, p.address, err)
	case c == http.StatusUnauthorized:
		return fmt.Errorf("%s refuses user %s: the password is wrong: %w", at, p.user, err)
	case c == http.StatusForbidden:
		return fmt.Errorf("%s does not let user %s %s; %s: %w", at, p.user, doing, permissions, err)
	case c != 0:
		return fmt.Errorf("%s, core %s: could not %s: %w", at, p.core, doing, err)
	case errors.As(err, &certificate):
		return fmt.Errorf("%s has a certificate that is not trusted here (tls=skip-verify accepts any): %w", at, err)
	case errors.As(err, &network) && network.Op == "dial":
		return fmt.Errorf("%s cannot be reached: is it running, and is the address right? %w", at, err)
	}
	return fmt.Errorf("%s, core %s: could not %s: the connection was lost: %w", at, p.core, doing, err)
}

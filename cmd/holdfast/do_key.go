package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"holdfast/internal/seal"
	"holdfast/repo"
)

// keyAdd is the action of "repo key add".
func keyAdd(ctx context.Context, app *env, o KeyAddOptions) error {
	r, err := app.open(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	var secret repo.Secret
	doc := struct {
		Slot  string `json:"slot"`
		Token string `json:"token,omitempty"`
	}{}
	if o.Token {
		token, err := seal.NewToken(rand.Reader)
		if err != nil {
			return err
		}
		secret.Token, doc.Token = &token, token.String()
	} else {
		password, err := app.newPassword(ctx, o.NewPasswordFile)
		if err != nil {
			return err
		}
		secret.Password = []byte(password)
	}
	if doc.Slot, err = r.AddKey(ctx, secret, repo.Slot{Label: labelOr(o.Label), Now: app.now()}); err != nil {
		return err
	}
	app.keepParity(ctx, r)
	app.console.say("Key slot: %s", doc.Slot)
	if o.Token {
		app.console.say("The token is printed this once; give it to HOLDFAST_TOKEN or HOLDFAST_TOKEN_FILE")
	}
	return app.result(doc, func(w io.Writer) error {
		if !o.Token {
			return nil
		}
		_, err := fmt.Fprintln(w, doc.Token)
		return err
	})
}

// keyList is the action of "repo key list".
func keyList(ctx context.Context, app *env, _ KeyListOptions) error {
	r, err := app.open(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	keys, err := r.Keys(ctx)
	if err != nil {
		return err
	}
	current, err := r.SlotOf(ctx, r.secret)
	if err != nil {
		return err
	}
	type slot struct {
		Slot    string    `json:"slot"`
		Kind    string    `json:"kind"`
		Label   string    `json:"label"`
		Created time.Time `json:"created"`
		InUse   bool      `json:"in_use"`
		Stale   bool      `json:"stale"` // written before a rotation: it does not open what was written afterwards
	}
	docs := []slot{}
	var cells [][]string
	for _, k := range keys {
		docs = append(docs, slot{k.Slot, k.Kind.String(), k.Label, k.Created, k.Slot == current, k.Stale(keys)})
		used, opens := "", "everything"
		if k.Slot == current {
			used = "yes"
		}
		if k.Stale(keys) {
			opens = "older only (stale)"
		}
		cells = append(cells, []string{k.Slot, k.Kind.String(), app.localTime(k.Created), used, opens, k.Label})
	}
	columns := []column{{title: "Slot"}, {title: "Kind"}, {title: "Created"}, {title: "In use now"}, {title: "Opens"}, {title: "Label", flexible: true}}
	return app.result(docs, func(w io.Writer) error { return app.table(w, columns, cells) })
}

// keyRemove is the action of "repo key remove".
func keyRemove(ctx context.Context, app *env, o KeyRemoveOptions) error {
	r, err := app.open(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	keys, err := r.Keys(ctx)
	if err != nil {
		return err
	}
	var found []repo.Key
	for _, k := range keys {
		if strings.HasPrefix(k.Slot, o.Slot) {
			found = append(found, k)
		}
	}
	if len(found) != 1 {
		return &withHint{fmt.Errorf("%s stands for %d key slots, so none was removed", o.Slot, len(found)), "\"holdfast repo key list\" shows them"}
	}
	if len(keys) == 1 {
		return repo.ErrLastKey
	}
	current, err := r.SlotOf(ctx, r.secret)
	if err != nil {
		return err
	}
	if found[0].Slot == current { // whatever stays is shown to open it, before this one goes
		return &withHint{fmt.Errorf("the %s slot %s (%s) is the one in use now, so it was not removed", found[0].Kind, found[0].Slot, found[0].Label),
			"remove it with the password or token that is to stay: --password-file names a file of it"}
	}
	question := fmt.Sprintf("remove the %s slot %s (%s)", found[0].Kind, found[0].Slot, found[0].Label)
	if err := app.confirm(ctx, o.Yes, question); err != nil {
		return err
	}
	if err := r.RemoveKey(ctx, found[0].Slot); err != nil {
		return err
	}
	app.keepParity(ctx, r)
	app.console.say("Who had it may have kept what it opened: \"holdfast repo key rotate\" protects what is written from now on, and only a new repository all")
	return app.result(struct {
		Removed string `json:"removed"`
	}{found[0].Slot}, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "Key slot %s is removed\n", found[0].Slot)
		return err
	})
}

// keyPassword is the action of "repo key password": the new slot is durable
// before the old one goes.
func keyPassword(ctx context.Context, app *env, o KeyPasswordOptions) error {
	r, err := app.open(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	if r.secret.Token != nil {
		return &withHint{errors.New("the repository was opened with a token, and a token has no password"), "open it with the password that is to be changed"}
	}
	old, err := r.SlotOf(ctx, r.secret)
	if err != nil {
		return err
	}
	keys, err := r.Keys(ctx)
	if err != nil {
		return err
	}
	label := ""
	for _, k := range keys {
		if k.Slot == old {
			label = k.Label
		}
	}
	password, err := app.newPassword(ctx, o.NewPasswordFile)
	if err != nil {
		return err
	}
	slot, err := r.AddKey(ctx, repo.Secret{Password: []byte(password)}, repo.Slot{Label: labelOr(label), Now: app.now()})
	if err != nil {
		return err
	}
	if err := r.RemoveKeysOf(ctx, r.secret, slot); err != nil {
		return fmt.Errorf("the new password opens the repository, but the old one does so still: %w", err)
	}
	app.keepParity(ctx, r)
	app.console.say("Whatever has the old one, such as the file that password_file names, needs the new one from now on")
	return app.result(struct {
		Slot     string `json:"slot"`
		Replaced string `json:"replaced"`
	}{slot, old}, func(w io.Writer) error {
		_, err := fmt.Fprintln(w, "The password is changed")
		return err
	})
}

// keyRotate is the action of "repo key rotate".
func keyRotate(ctx context.Context, app *env, o KeyRotateOptions) error {
	r, err := app.open(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	keys, err := r.Keys(ctx)
	if err != nil {
		return err
	}
	question := "seal what is written from now on under new keys"
	switch others := len(keys) - 1; {
	case others == 1:
		question += ", which the other password or token will not open"
	case others > 1:
		question += fmt.Sprintf(", which the %d other passwords and tokens will not open", others)
	}
	if err := app.confirm(ctx, o.Yes, question); err != nil {
		return err
	}
	slot, err := r.RotateKeys(ctx, r.secret, seal.Cost{}, app.now())
	if err != nil {
		return err
	}
	app.keepParity(ctx, r)
	if keys, err = r.Keys(ctx); err != nil {
		return err
	}
	doc := struct {
		Slot  string   `json:"slot"`
		Stale []string `json:"stale"`
	}{slot, []string{}}
	for _, k := range keys {
		if k.Stale(keys) {
			doc.Stale = append(doc.Stale, k.Slot)
			app.console.warn("slot %s (%s) opens only what was written before: add its %s anew, and remove it", k.Slot, k.Label, k.Kind)
		}
	}
	return app.result(doc, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "New keys seal what is written from now on; the slot in use is %s\n", slot)
		return err
	})
}

package environment

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// Credential is what opens the repository.
type Credential struct {
	Secret  Secret
	IsToken bool
	// From says where it comes from, for messages: "HOLDFAST_PASSWORD", "the file
	// /etc/holdfast/password", "the terminal".
	From string
	// Warning is a sentence about a file that everybody can read, or "".
	Warning string
}

// Ask asks the user for a password and does not show what is typed.
type Ask func(question string) (string, error)

// Credential finds the token or password that opens the repository:
// --password-file, else HOLDFAST_TOKEN or _TOKEN_FILE, HOLDFAST_PASSWORD or
// _PASSWORD_FILE, of which only one may be set, else password_file in the file,
// else ask, which is nil where there is no terminal. Errors wrap ErrNoPassword
// where there is none.
func (c *Config) Credential(ask Ask) (Credential, error) {
	return c.credential(ask, []origin{
		{variable: "HOLDFAST_TOKEN", isToken: true},
		{variable: "HOLDFAST_TOKEN_FILE", isToken: true, isFile: true},
		{variable: "HOLDFAST_PASSWORD"},
		{variable: "HOLDFAST_PASSWORD_FILE", isFile: true},
	})
}

// Password is Credential for where only a password will do, as in init: a
// token's variables are not looked at.
func (c *Config) Password(ask Ask) (Credential, error) {
	return c.credential(ask, []origin{
		{variable: "HOLDFAST_PASSWORD"},
		{variable: "HOLDFAST_PASSWORD_FILE", isFile: true},
	})
}

// origin is a variable that may hold a secret or the name of a file with it.
type origin struct {
	variable        string
	isToken, isFile bool
}

func (c *Config) credential(ask Ask, origins []origin) (Credential, error) {
	if path := c.input.Flags.PasswordFile; path != "" {
		return credentialFile(absolute(c.input.Directory, path), false)
	}
	var given []origin
	var names []string
	for _, o := range origins {
		if value, _ := c.input.Lookup(o.variable); value != "" {
			given = append(given, o)
			names = append(names, o.variable)
		}
	}
	if len(given) > 1 {
		text := fmt.Sprintf("%s are both set; expected one of them", strings.Join(names, " and "))
		return Credential{}, Problem{Text: text}.invalid()
	}
	if len(given) == 1 {
		o := given[0]
		value, _ := c.input.Lookup(o.variable)
		if o.isFile {
			return credentialFile(absolute(c.input.Directory, value), o.isToken)
		}
		return Credential{Secret: Secret(value), IsToken: o.isToken, From: o.variable}, nil
	}
	if c.passwordFile.node != nil {
		return c.configuredFile()
	}
	return askFor(ask, c.Repository)
}

func (c *Config) configuredFile() (Credential, error) {
	d := &document{file: c.shown, lookup: c.input.Lookup}
	path := d.path(c.passwordFile, c.directory())
	if err := invalid(d.problems); err != nil {
		return Credential{}, err
	}
	return credentialFile(path, false)
}

func credentialFile(path string, isToken bool) (Credential, error) {
	what := "password"
	if isToken {
		what = "token"
	}
	secret, warning, err := readSecret(path, what)
	if err != nil {
		return Credential{}, &hinted{kind: ErrNoPassword, text: err.Error(), hint: fmt.Sprintf("the %s file must exist, be readable and hold the %[1]s in its first line", what)}
	}
	return Credential{Secret: secret, IsToken: isToken, From: "the file " + path, Warning: warning}, nil
}

func askFor(ask Ask, repository string) (Credential, error) {
	if ask == nil {
		return Credential{}, &hinted{
			kind: ErrNoPassword,
			text: "no password for the repository " + repository,
			hint: "set HOLDFAST_PASSWORD_FILE, HOLDFAST_PASSWORD or HOLDFAST_TOKEN, or use --password-file",
		}
	}
	answer, err := ask(fmt.Sprintf("Password of the repository %s: ", repository))
	if err != nil {
		return Credential{}, err
	}
	if answer == "" {
		return Credential{}, &hinted{kind: ErrNoPassword, text: "the password was empty", hint: "type the repository's password"}
	}
	return Credential{Secret: Secret(answer), From: "the terminal"}, nil
}

// maxSecret bounds a secret's file, in bytes.
const maxSecret = 64 << 10

// ReadPasswordFile reads a file that holds a password; a newline at its end does
// not count. warning is a sentence, or "". Errors never show the contents.
func ReadPasswordFile(path string) (password Secret, warning string, err error) {
	return readSecret(path, "password")
}

// readSecret reads a file that holds a secret; what is the secret's name in messages.
func readSecret(path, what string) (secret Secret, warning string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", "", fmt.Errorf("read the %s file %s: %w", what, path, reason(err))
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err == nil && len(data) > maxSecret {
		err = fmt.Errorf("more than %d KiB", maxSecret>>10)
	}
	text, lineEnds := strings.CutSuffix(string(data), "\n")
	if lineEnds {
		text = strings.TrimSuffix(text, "\r")
	}
	if err == nil && text == "" {
		err = errors.New("it is empty")
	}
	if err != nil {
		return "", "", fmt.Errorf("read the %s file %s: %w", what, path, reason(err))
	}
	if isPublic(path) {
		warning = fmt.Sprintf("everybody can read the %s file %s: chmod o= %s", what, path, path)
	}
	return Secret(text), warning, nil
}

// isPublic reports whether everybody may read a regular file.
func isPublic(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o004 != 0
}

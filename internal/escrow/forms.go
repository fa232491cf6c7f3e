package escrow

import "github.com/escrowgrid/escrowgrid/internal/money"

// The written forms of commands that set an institution up, but for those of files of their own. What ends a
// right at once, such as the revocation of a key, has none: it never waits.

var policyFormTypes = []formType{{"policy.set", decodeForm[policyForm]}}

type policyForm struct {
	typed

	Region   Region     `json:"region"`
	Position rulesState `json:"position"`
}

// written implements approvable.
func (c SetPolicy) written() form {
	return policyForm{typed: typed{"policy.set"}, Region: c.region, Position: c.rules.state()}
}

// concerns implements approvable.
func (c SetPolicy) concerns() string { return PolicySubject(c.region) }

func (f policyForm) each(func(string, *private)) form { return f }

func (f policyForm) command() (Command, error) {
	in := RulesInput{
		MinAmount: givenDigits(f.Position.MinAmount), MaxAmount: givenDigits(f.Position.MaxAmount),
	}
	if len(f.Position.AllowedCurrencies) > 0 {
		in.AllowedCurrencies = new(textsOf(f.Position.AllowedCurrencies))
	}
	return made(NewSetPolicy(string(f.Region), PolicyInput{Position: in}))
}

// givenDigits returns nil for a number that is not there.
func givenDigits(text string) *money.Digits {
	if text == "" {
		return nil
	}
	return new(money.Digits(text))
}

func textsOf[T ~string](words []T) []string {
	texts := make([]string, len(words))
	for i, word := range words {
		texts[i] = string(word)
	}
	return texts
}

var roleFormTypes = []formType{{"role.set", decodeForm[roleForm]}}

type roleForm struct {
	typed

	Name        RoleName      `json:"name"`
	Permissions PermissionSet `json:"permissions"`
	IfVersion   []int64       `json:"ifVersion,omitempty"`
}

// written implements approvable.
func (c SetRole) written() form {
	return roleForm{typed: typed{"role.set"}, Name: c.name, Permissions: c.permissions, IfVersion: c.ifVersion}
}

// concerns implements approvable.
func (c SetRole) concerns() string { return RoleSubject(c.name) }

func (f roleForm) each(func(string, *private)) form { return f }

func (f roleForm) command() (Command, error) {
	return made(NewSetRole(string(f.Name), RoleInput{Permissions: textsOf(f.Permissions.List())}, f.IfVersion))
}

var userFormTypes = []formType{{"user.restore", decodeForm[restoreUserForm]}}

type restoreUserForm struct {
	typed

	ID        UserID  `json:"id"`
	IfVersion []int64 `json:"ifVersion,omitempty"`
}

// written implements approvable.
func (c RestoreUser) written() form {
	return restoreUserForm{typed: typed{"user.restore"}, ID: c.User, IfVersion: c.IfVersion}
}

// concerns implements approvable.
func (c RestoreUser) concerns() string { return c.User.String() }

func (f restoreUserForm) each(func(string, *private)) form { return f }

func (f restoreUserForm) command() (Command, error) {
	return RestoreUser{User: f.ID, IfVersion: f.IfVersion}, nil
}

var rulesFormTypes = []formType{{"approval_rules.set", decodeForm[rulesForm]}}

type rulesForm struct {
	typed

	Rules     []ApprovalRule `json:"rules"`
	IfVersion []int64        `json:"ifVersion,omitempty"`
}

// written implements approvable.
func (c SetApprovalRules) written() form {
	return rulesForm{typed: typed{"approval_rules.set"}, Rules: c.rules, IfVersion: c.ifVersion}
}

// concerns implements approvable.
func (SetApprovalRules) concerns() string { return RulesSubject }

func (f rulesForm) each(func(string, *private)) form { return f }

func (f rulesForm) command() (Command, error) {
	return SetApprovalRules{rules: f.Rules, ifVersion: f.IfVersion}, nil
}

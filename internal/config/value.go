package config

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// variable is a value that came out of the environment: a text, whatever the
// type of its key is.
type variable string

// assign converts raw, as the layers deliver it, to the type of target and
// stores it there. Its errors say which form is wanted.
func assign(target, raw any) error {
	if text, ok := raw.(variable); ok {
		raw = fromVariable(target, string(text))
	}
	switch target := target.(type) {
	case *string:
		return store(target, raw, `a text in quotes, for instance "text"`)
	case *int:
		return store(target, raw, "a whole number without quotes, for instance 3")
	case *bool:
		return store(target, raw, "true or false without quotes")
	case *time.Duration:
		return assignDuration(target, raw)
	case *Size:
		return assignSize(target, raw)
	case *[]string:
		return assignList(target, raw)
	default:
		return fmt.Errorf("has a field of the unknown type %T", target)
	}
}

// fromVariable reads a text as the type of target where that is not a text; a
// text that cannot be read so comes back as it is, for assign to refuse.
func fromVariable(target any, text string) any {
	switch target.(type) {
	case *int:
		if n, err := strconv.Atoi(text); err == nil {
			return n
		}
	case *bool:
		if text == "true" || text == "false" {
			return text == "true"
		}
	case *[]string:
		return splitList(text)
	}
	return text
}

func splitList(text string) []any {
	list := []any{}
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			list = append(list, item)
		}
	}
	return list
}

func store[T any](target *T, raw any, want string) error {
	value, ok := raw.(T)
	if !ok {
		return fmt.Errorf("is %s: want %s", describe(raw), want)
	}
	*target = value
	return nil
}

func assignDuration(target *time.Duration, raw any) error {
	const want = `a time with its unit in quotes, for instance "250ms", "30s" or "4h"`
	text, ok := raw.(string)
	if !ok {
		return fmt.Errorf("is %s: want %s", describe(raw), want)
	}
	value, err := time.ParseDuration(text)
	if err != nil {
		return fmt.Errorf("is %s: want %s", describe(raw), want)
	}
	*target = value
	return nil
}

func assignSize(target *Size, raw any) error {
	if number, ok := raw.(int); ok {
		*target = Size(number)
		return nil
	}
	text, ok := raw.(string)
	if !ok {
		return fmt.Errorf(`is %s: want a size in quotes, for instance "10MiB"`, describe(raw))
	}
	value, err := ParseSize(text)
	if err != nil {
		return fmt.Errorf(`is %s: want a size in quotes, for instance "10MiB"`, describe(raw))
	}
	*target = value
	return nil
}

func assignList(target *[]string, raw any) error {
	items, ok := raw.([]any)
	if !ok {
		return fmt.Errorf(`is %s: want a list of texts, for instance ["one", "two"]`, describe(raw))
	}
	list := make([]string, 0, len(items))
	for _, item := range items {
		text, ok := item.(string)
		if !ok {
			return fmt.Errorf(`holds %s: want a list of texts, for instance ["one", "two"]`, describe(item))
		}
		list = append(list, text)
	}
	*target = list
	return nil
}

// describe names a value of the wrong type.
func describe(raw any) string {
	switch raw := raw.(type) {
	case string:
		const most = 80
		if len(raw) > most {
			raw = raw[:most] + "..."
		}
		return strconv.Quote(raw)
	case int, float64, bool:
		return fmt.Sprint(raw)
	case []any:
		return "a list"
	default:
		return "a block"
	}
}

// format writes a value as the file does, without quotes.
func format(value any) string {
	switch value := value.(type) {
	case time.Duration:
		return shortDuration(value)
	default:
		return fmt.Sprint(value)
	}
}

// formatHCL writes a value as the file does, which is also how JSON does.
func formatHCL(value any) string {
	switch value := value.(type) {
	case int, bool:
		return fmt.Sprint(value)
	case []string:
		quoted := make([]string, len(value))
		for i, text := range value {
			quoted[i] = quote(text)
		}
		return "[" + strings.Join(quoted, ", ") + "]"
	default:
		return quote(format(value))
	}
}

// quote puts a text in quotes so that HCL and JSON both read it.
func quote(text string) string {
	var out strings.Builder
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(text); err != nil {
		return strconv.Quote(text) // not reached: every text can be encoded
	}
	return strings.TrimSuffix(out.String(), "\n")
}

// shortDuration leaves out the zeros that time.Duration writes: 4h, not 4h0m0s.
func shortDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// deref returns what a pointer of the table points at.
func deref(pointer any) any { return reflect.ValueOf(pointer).Elem().Interface() }

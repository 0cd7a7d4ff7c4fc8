package redis

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// info is what the server says of itself.
type info map[string]string

// info asks for sections of INFO.
func (c *conn) info(ctx context.Context, sections ...string) (info, error) {
	all := info{}
	for _, section := range sections {
		answer, err := c.do(ctx, "INFO", section)
		if err != nil {
			return nil, err
		}
		text, _ := answer.(string)
		for line := range strings.Lines(text) {
			if key, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
				all[key] = value
			}
		}
	}
	return all, nil
}

func (i info) number(key string) int64 {
	n, _ := strconv.ParseInt(i[key], 10, 64) // 0 where the server does not say
	return n
}

// product names the server: "Redis 7.0.15", "Valkey 8.1.1".
func (i info) product() string {
	if v := i["valkey_version"]; v != "" {
		return "Valkey " + v
	}
	return "Redis " + i["redis_version"]
}

// keyspace is what INFO says of one database.
type keyspace struct{ keys, expires int64 }

var keyspaceForm = regexp.MustCompile(`^keys=(\d{1,18}),expires=(\d{1,18}),`)

// keyspaces returns the databases that hold anything.
func (i info) keyspaces() map[int]keyspace {
	all := map[int]keyspace{}
	for key, value := range i {
		number, ok := strings.CutPrefix(key, "db")
		n, err := strconv.Atoi(number)
		m := keyspaceForm.FindStringSubmatch(value)
		if !ok || err != nil || m == nil {
			continue
		}
		var k keyspace
		k.keys, _ = strconv.ParseInt(m[1], 10, 64)
		k.expires, _ = strconv.ParseInt(m[2], 10, 64)
		all[n] = k
	}
	return all
}

// suitable refuses a server on which the engine cannot keep its promises.
func (p place) suitable(i info) error {
	major, _, _ := strings.Cut(i["redis_version"], ".")
	if n, err := strconv.Atoi(major); err != nil || n < 5 {
		return fmt.Errorf("the Redis server at %s has version %q: 5.0 or later is needed", p.address, i["redis_version"])
	}
	if i["cluster_enabled"] == "1" || i["redis_mode"] == "cluster" {
		return fmt.Errorf("the Redis server at %s is part of a cluster: a point of all its parts cannot be marked, and SWAPDB does not exist there", p.address)
	}
	if i["redis_mode"] == "sentinel" {
		return fmt.Errorf("the Redis server at %s is a sentinel, which holds no data: give the address of the master", p.address)
	}
	if i["role"] != "master" {
		return fmt.Errorf("the Redis server at %s is a replica of %s:%s: give the address of the master", p.address, i["master_host"], i["master_port"])
	}
	if i["loading"] == "1" {
		return fmt.Errorf("the Redis server at %s is still loading its data: try again later", p.address)
	}
	return nil
}

package environment

import (
	"maps"
	"slices"
	"strings"
)

// tableLists are the tables of well-known systems whose rows are worth nothing in a
// restored site: caches, sessions, locks, and indexes that the system builds anew by
// itself. Nothing is here that somebody wrote or that is evidence. They are offered
// under these names and used where a configuration says so, never by themselves.
// Where a system has a prefix for its tables that the user chooses, patterns begin
// with a star.
var tableLists = map[string][]string{
	"@drupal": {"cache", "cache_*", "sessions", "semaphore", "flood", "watchdog", "search_dataset", "search_index", "search_total"},
	"@magento": {"cache", "cache_tag", "session", "core_session", "persistent_session", "core_cache", "core_cache_tag",
		"log_url", "log_url_info", "log_visitor", "log_visitor_info", "log_visitor_online",
		"report_event", "report_viewed_*", "report_compared_product_index"},
	"@typo3": {"cf_*", "cache_*", "be_sessions", "fe_sessions", "fe_session_data"},
	"@wordpress": {"*_woocommerce_sessions", "*_actionscheduler_logs", "*_wfhits", "*_wfHits", "*_wflivetraffichuman",
		"*_wfLiveTrafficHuman", "*_redirection_404", "*_redirection_logs"},
}

// schemaOnly returns the list of a service's schema_only: patterns, and names of lists.
func (d *document) schemaOnly(f field) []string {
	var entries []string
	for _, item := range d.list(f) {
		entry, ok := d.text(item, "a pattern such as cache_*, or the name of a list such as @drupal")
		if !ok {
			continue
		}
		if known := slices.Sorted(maps.Keys(tableLists)); strings.HasPrefix(entry, "@") && !slices.Contains(known, entry) {
			d.problem(item, "%q is not a list of tables; expected %s%s", shown(entry), alternatives(known), didYouMean(entry, known))
			continue
		}
		entries = append(entries, entry)
	}
	return entries
}

// TablePatterns returns the patterns of the service's SchemaOnly, those of known
// lists in their place.
func (s Service) TablePatterns() []string {
	var patterns []string
	for _, entry := range s.SchemaOnly {
		if list, ok := tableLists[entry]; ok {
			patterns = append(patterns, list...)
			continue
		}
		patterns = append(patterns, entry)
	}
	return patterns
}

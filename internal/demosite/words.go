package demosite

import "strings"

// words are what all text of the site is made of.
var words = strings.Fields(`
	able about above across again age air almost alone along already always among answer apple apron around arrive
	autumn bake balance basket bean because become before begin behind bell below bench beside better between bicycle
	bitter blanket board boat book bottle bowl branch bread breakfast bridge bright bring brook brown build butter
	button cabinet call candle care carry castle cellar chair change cheese cherry choose circle clay clean climb
	clock close cloth cloud coast coat coffee cold colour come cook copper corner cotton counter country cream cup
	cushion customer cut dance dark daughter delicate deliver desk dish door doubt draw dream drink drive dry early
	earth east easy edge empty enough evening every eye fair fall family far farm father feather fence field find fine
	fire first flour flower follow forest fork forward found fresh friend front fruit full garden gate gentle gift
	give glad glass gold good grain grape grass great green grow guest guide half hall hand handle happen harbour hat
	heavy hill hold honey hope house hungry idea inside iron island jar jam join journey juice keep kettle kitchen
	knife know label lake lamp large late laugh leaf learn leather leave lemon letter light linen listen little long
	loose loud lunch maker many map market mason meadow meal measure meet melt middle mild milk mill mirror morning
	mother mountain music narrow near needle never new night north nothing oak oat offer often oil old olive onion
	open orange orchard order oven over paint pale paper parcel path pear pencil pepper picture piece pillow plain
	plant plate play please plum pocket polish porch potter pour price proud quiet quilt rain raise reach ready recipe
	red repair rest rice ring ripe river road roof room root rope round salt sand sauce season seed sell send shade
	shape share shelf shine shop shore short side silver simple sister skill sky slice slow small smoke snow soap soft
	soil song sound soup south spoon spring square stair start stay steel stone store story stove straw stream street
	string strong sugar summer supper sweet table take tall taste tea thank thick thread tile timber toast together
	tomato tool towel town trade travel tree try turn under until useful valley vase village violet visit voice wait
	walk wall walnut want warm wash water weave week wheat wheel white wide wild willow wind window winter wise wood
	wool word work workshop yard yellow yes yesterday young`)

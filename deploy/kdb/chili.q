// The time series in chili, on disk: a log of every change, replayed when chili starts. kdb+ has a
// log of its own and needs none of this. The directory of the log must be there:
//     TIMESERIES_LOG=/var/lib/timeseries chili -P --headless -p 5010 /path/to/deploy/kdb/chili.q
// Whoever restarts chili with these words restores what it held; until that is done nobody is
// answered. The tables are made once, by `manage.py kdb_init`. See docs/timeseries.md.
//
// A change is one entry, in the log and synced before it is applied, and answered then. What was
// torn by the end of the process was never answered: the stream still has it.

// Who has no port must not touch the log: another process may be writing it.
.os.sleep 300;

import "./timeseries.q";
.ts.ownFunctions:1b;
.ts.directory:.os.getenv "TIMESERIES_LOG";
.ts.file:.ts.directory + "/timeseries.log";
.ts.new:.ts.file + ".new";
.ts.handle:0;
.ts.spare:0;
.ts.applied:0;
.ts.tail:0;
.ts.sound:0b;

// chili answers each connection in a thread of its own: changes take turns, by ticket.
.ts.enter:{[ignored] turn:tick[1000;1]; while[turn>1+tick[1001;0]; .os.sleep 1]; turn};
.ts.leave:{[ignored] tick[1001;1]};
.ts.alone:{[call] .ts.enter 0; try [answer:eval call] catch [.ts.leave 0; raise err]; .ts.leave 0; answer};

// The log from its end, or from where it was read to: after a start, and after an entry of which it
// is not known whether it is there. An entry that cannot be read, or applied, is an error here.
.ts.open:{[ignored] .ts.sound:0b; .handle.close .ts.handle; .ts.handle:0; .handle.close .ts.spare; .ts.spare:0; if[exists .ts.new; hdel .ts.new]; .ts.handle:.handle.open "file://" + .ts.file; .handle.fsync .ts.handle; n:.broker.validateSeq[.ts.file;0b]; replay[.ts.file;.ts.applied;n;();1b;.ts.handle]; if[not n=.ts.applied; raise "the log has entries that cannot be read"]; .ts.sound:1b; n};
.ts.apply:{[call] answer:eval call; .ts.applied:.ts.applied+1; answer};
.ts.logged:{[call] .ts.sound:0b; .ts.handle (`.ts.apply;call); .handle.fsync .ts.handle; answer:.ts.apply call; .ts.sound:1b; answer};
.ts.change:{[call] .ts.check 0; if[not .ts.sound; .ts.open 0]; eval call};

// A new log that begins with the tables as they are takes the place of the old one.
.ts.restore:{[rows;writers;streams;no;refusals] .ts.measurement:rows; .ts.writers:writers; .ts.streams:streams; .ts.no:no; .ts.refusals:refusals; .ts.tail:0; 1b};
.ts.tables:{[ignored] (`.ts.restore;.ts.measurement;.ts.writers;.ts.streams;.ts.no;.ts.refusals)};
.ts.rotate:{[ignored] .ts.sound:0b; .ts.spare:.handle.open "file://" + .ts.new; .ts.spare (`.ts.apply;.ts.tables 0); .handle.fsync .ts.spare; .os.system "mv -f " + .ts.new + " " + .ts.file; if[exists .ts.new; raise "the new log cannot take its place"]; .ts.applied:1; .ts.tail:0; .os.system "sync " + .ts.directory; .ts.open 0; 1b};

// What timeseries.q does, by way of the log. What could not be applied must not get into it.
.ts.making:.ts.init;
.ts.putting:.ts.write;
.ts.settling:.ts.settle;
.ts.retaining:.ts.retain;
.ts.forgetting:.ts.forget;
.ts.fits:{[rows;writers;state] if[0<count rows; (0#.ts.measurement) upsert update no:0 from rows]; (0#.ts.writers) upsert writers; (0#.ts.streams) upsert state; 1b};
.ts.writing:{[strm;version;rows;writers;state] .ts.tail:.ts.tail+count rows; .ts.putting[strm;version;rows;writers;state]};
.ts.writeNow:{[strm;version;rows;writers;state] if[not version=.ts.times strm; :0b]; .ts.fits[rows;writers;state]; .ts.logged (`.ts.writing;strm;version;rows;writers;state)};
.ts.retainNow:{[oldest] n:.ts.logged (`.ts.retaining;oldest); if[.ts.tail>n; .ts.rotate 0]; n};
.ts.initNow:{[rows;writers;streams] if[not .ts.opened; .ts.notReady]; if[.ts.ready; :0b]; if[not .ts.sound; .ts.open 0]; .ts.making[rows;writers;streams]; .ts.ready:0b; .ts.rotate 0; .ts.ready:1b; 1b};
.ts.opened:0b;

.ts.init:{[rows;writers;streams] .ts.alone (`.ts.initNow;rows;writers;streams)};
.ts.write:{[strm;version;rows;writers;state] .ts.alone (`.ts.change;(`.ts.writeNow;strm;version;rows;writers;state))};
.ts.settle:{[strm;wrt;number;refusal] .ts.alone (`.ts.change;(`.ts.logged;(`.ts.settling;strm;wrt;number;refusal)))};
.ts.retain:{[oldest] .ts.alone (`.ts.change;(`.ts.retainNow;oldest))};
.ts.forget:{[strm;before] .ts.alone (`.ts.change;(`.ts.logged;(`.ts.forgetting;strm;before)))};

if[not exists .ts.directory; raise "TIMESERIES_LOG must be a directory"];
.ts.open 0;
.ts.opened:1b;
.ts.ready:0<.ts.applied;

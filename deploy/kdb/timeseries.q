// The time series in kdb+: tables and functions. Loaded by `manage.py kdb_init`, or by q itself:
//     q deploy/kdb/timeseries.q -p 5010
// Written in what kdb+ and the open engine chili both understand: one definition a line, no `til`,
// `bin`, `exec` or typed empty lists. On chili, chili.q loads this file. See docs/timeseries.md.
//
// .ts.measurement  tag time val no   no: when it came, of equal tag and time the highest counts
// .ts.writers      stream writer seq at   the highest batch number that is stored of each writer;
//                                         with the number behind the writer's id: one refused
// .ts.streams      stream version entry   how often a stream was written from, and up to where

// Empty tables, from one row of each kind; nothing if there are tables already.
.ts.ready:0b;
.ts.init:{[rows;writers;streams] if[.ts.ready; :0b]; .ts.no:0; .ts.refusals:0; .ts.measurement:update no:0 from 0#rows; .ts.writers:0#writers; .ts.streams:0#streams; .ts.ready:1b; 1b};

// Until the tables are whole nobody is answered: a name that is not there is an error in both.
.ts.check:{[ignored] if[not .ts.ready; .ts.notReady]; 1b};

// How often the stream was written from, and its writers' numbers: what a drain has to know first.
.ts.version:{[strm] .ts.check 0; .ts.times strm};
.ts.times:{[strm] r:select from .ts.streams where stream=strm; .ts.refusals+$[0=count r; 0; first r`version]};
.ts.known:{[strm] .ts.check 0; select from .ts.writers where stream=strm};

// Rows, writers' numbers and the stream's new state, all or nothing; 0b when another drain was first.
.ts.write:{[strm;version;rows;writers;state] if[not version=.ts.times strm; :0b]; .ts.no:.ts.no+1; if[0<count rows; `.ts.measurement upsert update no:.ts.no from rows]; .ts.writers:delete from .ts.writers where stream=strm, writer in writers`writer; `.ts.writers upsert writers; .ts.streams:delete from .ts.streams where stream=strm; `.ts.streams upsert state; 1b};

// 1b when the writer's batch is stored; otherwise it never will be: a drain that does not know yet
// finds the version changed.
.ts.settle:{[strm;wrt;number;refusal] if[0<count select from .ts.writers where stream=strm, writer=wrt, seq>=number; :1b]; .ts.refusals:.ts.refusals+1; `.ts.writers upsert refusal; 0b};

// What is past the retention goes, and writers that were silent for long.
.ts.retain:{[oldest] .ts.measurement:delete from .ts.measurement where time<oldest; count .ts.measurement};
.ts.forget:{[strm;before] n:count .ts.writers; .ts.writers:delete from .ts.writers where stream=strm, at<before; n-count .ts.writers};

// All of a tag in (start;end], oldest first, of equal times the last one that came being the last.
.ts.range:{[x;start;end] .ts.check 0; `time`no xasc select time,no,val from .ts.measurement where tag=x, time>start, time<=end};
.ts.size:{[x;start;end] .ts.check 0; count select time from .ts.measurement where tag=x, time>start, time<=end};

// The last rows at or before `at`: none, one, or all that came for that time.
.ts.before:{[x;at] .ts.check 0; r:select latest:max time from .ts.measurement where tag=x, time<=at; `no xasc select time,no,val from .ts.measurement where tag=x, time=first r`latest};

// As of each point (tag and time), from what lies in (start;end].
.ts.asof:{[points;x;start;end] .ts.check 0; aj[`tag`time; points; `tag`time`no xasc select tag,time,no,val from .ts.measurement where tag=x, time>start, time<=end]};

// Each tag's first and last time and number of different times.
.ts.tags:{[ignored] .ts.check 0; select first_ns:min time, last_ns:max time, n:count no by tag from select last no by tag,time from .ts.measurement};

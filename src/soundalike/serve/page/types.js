/**
 * The records of the HTTP interface that the page reads, as types. There is no code here.
 *
 * @typedef {object} SpaceInfo
 * @property {string} name
 * @property {string} model
 * @property {string} source
 * @property {"factor" | "instrument" | "concept"} group
 * @property {string} colour
 * @property {number} dim
 *
 * @typedef {object} Preset
 * @property {string} name
 * @property {string} summary
 * @property {Record<string, number>} weights
 *
 * @typedef {object} ModelRecord
 * @property {string} name
 * @property {string} summary
 * @property {string} licence
 * @property {boolean} default
 * @property {number} tracks
 * @property {string[]} separators
 *
 * @typedef {object} SeparatorRecord
 * @property {string} name
 * @property {string[]} stems
 * @property {string} licence
 *
 * @typedef {object} LibraryRecord
 * @property {string} path
 * @property {number} tracks
 * @property {number} failures
 * @property {number} missing
 * @property {number} bytes
 * @property {ModelRecord[]} models
 * @property {SpaceInfo[]} spaces
 * @property {Preset[]} presets
 * @property {"library" | "model"} reference
 * @property {string[]} absent_folders
 * @property {{path: string, tracks: number, absent: boolean}[]} folders
 * @property {boolean} editable
 * @property {number} upload_bytes
 * @property {number} upload_seconds
 *
 * @typedef {object} TrackRecord
 * @property {number} id
 * @property {string} path
 * @property {string | null} title
 * @property {string | null} artist
 * @property {string | null} album
 * @property {string | null} genre
 * @property {number | null} year
 * @property {number | null} bpm
 * @property {string | null} key
 * @property {number | null} loudness
 * @property {number} duration
 * @property {boolean} missing
 *
 * @typedef {object} FailedFile
 * @property {string} path
 * @property {number} size
 * @property {string} message
 * @property {number} attempts
 *
 * @typedef {object} TracksPage
 * @property {TrackRecord[]} tracks
 * @property {number} total
 * @property {number} offset
 *
 * @typedef {object} TrackDetails
 * @property {TrackRecord} track
 * @property {string[]} copies
 * @property {string[]} versions
 *
 * @typedef {object} UploadRecord
 * @property {string} id
 * @property {string} name
 * @property {number} duration
 * @property {string | null} title
 * @property {string | null} artist
 * @property {string | null} warning
 *
 * @typedef {object} SpaceScore
 * @property {number | null} similarity
 * @property {number | null} z
 * @property {number} weight
 * @property {number} share
 * @property {number | null} percentile
 * @property {"library" | "model"} percentile_source
 * @property {boolean} audible
 *
 * @typedef {object} MatchRecord
 * @property {number} rank
 * @property {number | null} id
 * @property {string} path
 * @property {string | null} title
 * @property {string | null} artist
 * @property {string | null} album
 * @property {number | null} bpm
 * @property {string | null} key
 * @property {string | null} camelot
 * @property {number | null} duration
 * @property {number} start
 * @property {number} end
 * @property {number} score
 * @property {number | null} percentile
 * @property {number | null} stretch
 * @property {number | null} semitones
 * @property {Record<string, SpaceScore>} spaces
 * @property {string[]} copies
 *
 * @typedef {object} ExampleScore What one of several examples contributes to a match; the query is the first.
 * @property {string} path
 * @property {boolean} like
 * @property {number} score
 * @property {Record<string, SpaceScore>} spaces
 *
 * @typedef {MatchRecord & {relation: string | null, examples: ExampleScore[], versions: string[] | null}} SearchMatch
 *
 * @typedef {object} SearchQuery
 * @property {string} path
 * @property {number} start
 * @property {number} end
 * @property {"track" | "passage"} level
 * @property {string | null} where
 * @property {number} searched
 * @property {string} level_reason
 * @property {string | null} stem
 * @property {string | null} separator
 *
 * @typedef {object} SearchRecord
 * @property {SearchQuery} query
 * @property {string[]} models
 * @property {"library" | "model"} reference
 * @property {Record<string, number>} weights
 * @property {SearchMatch[]} matches
 * @property {string[]} copies
 * @property {string[]} corrupt
 * @property {string[]} missing
 * @property {string[]} absent_folders
 * @property {Record<string, number>} not_encoded Tracks that a model of the search lacks, by its name.
 * @property {{path: string, warning: string}[]} warnings
 *
 * @typedef {object} Alignment How B lines up with A; see `soundalike.core.types.Alignment`.
 * @property {number} semitones B is A transposed by this interval.
 * @property {number} tempo_ratio B is this many times as fast as A.
 * @property {number} offset Seconds from the start of the span of B to the moment at which the span of A starts.
 * @property {number} agreement
 *
 * @typedef {object} PassagePair
 * @property {{start: number, end: number}} a
 * @property {{start: number, end: number}} b
 * @property {number} similarity
 *
 * @typedef {object} CellRecord
 * @property {string} model
 * @property {string} space
 * @property {SpaceScore} score
 * @property {PassagePair | null} passages
 *
 * @typedef {object} MatrixRecord
 * @property {string[]} sources
 * @property {string[]} factors
 * @property {Record<string, Record<string, CellRecord>>} cells
 *
 * @typedef {object} ComparisonRecord
 * @property {{path: string, start: number, end: number, level: string}} query
 * @property {"library" | "model"} reference
 * @property {Record<string, number>} weights
 * @property {(MatchRecord & {alignment: Alignment | null})[]} matches
 * @property {Record<string, PassagePair | null>} passages
 * @property {MatrixRecord | null} matrix
 * @property {{path: string, warning: string}[]} warnings
 *
 * @typedef {object} Peaks
 * @property {number} duration
 * @property {number} count
 * @property {number[]} low
 * @property {number[]} high
 *
 * @typedef {object} RecordingRequest A recording as requests name it: one of `track` and `upload`.
 * @property {number} [track]
 * @property {string} [upload]
 * @property {number | null} [start]
 * @property {number | null} [end]
 */

export {};

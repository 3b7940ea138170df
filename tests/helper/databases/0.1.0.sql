-- Recorded from 0.1.0: the column remediation, and still no number.
PRAGMA user_version=0;
BEGIN TRANSACTION;
CREATE TABLE actions (
    id TEXT PRIMARY KEY,
    operation TEXT NOT NULL,
    reason TEXT NOT NULL,
    mark TEXT NOT NULL,
    user INTEGER NOT NULL,
    started REAL NOT NULL,
    ended REAL,
    result TEXT,
    message TEXT,
    remediation TEXT NOT NULL DEFAULT ''
) STRICT
;
INSERT INTO "actions" VALUES('k3f9.1.1','drain','hd:k3f9.1 GPU3 Xid79 off bus; rule gpu-lost','hd:k3f9.1',998,1790000000.0,1790000000.0,'done','drained','');
INSERT INTO "actions" VALUES('k3f9.1.2','resume','','hd:k3f9.1',998,1790000000.0,NULL,NULL,NULL,'');
COMMIT;

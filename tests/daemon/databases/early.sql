-- Recorded from an early program: no openings, another shape of incident and node.
PRAGMA user_version=1;
BEGIN TRANSACTION;
CREATE TABLE action (
        number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, body BLOB NOT NULL,
        asked REAL NOT NULL, state TEXT NOT NULL, result BLOB) STRICT;
INSERT INTO "action" VALUES(1,'k3f9.2.3',CAST('{"id":"k3f9.2.3","operation":"drain","reason":"hd:k3f9.2 GPU3 Xid79 off bus; rule gpu-lost","mark":"hd:k3f9.2","claimed_by":"","claimed_at":""}' AS BLOB),1790000000.0,'ended',CAST('{"id":"k3f9.2.3","operation":"drain","result":"done","message":"","view":null}' AS BLOB));
INSERT INTO "action" VALUES(2,'k3f9.2.4',CAST('{"id":"k3f9.2.4","operation":"read","reason":"","mark":"","claimed_by":"","claimed_at":""}' AS BLOB),1790000000.0,'asked',NULL);
CREATE TABLE document (
        name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;
INSERT INTO "document" VALUES('node',CAST('{"name":"n017","state":"drained","since":{"boot_id":"5f0e0c4e-0000-4000-8000-000000000001","boottime":5000.0,"wall":1790000000.0},"because":"GPU3 fell off the bus","incident":{"id":"k3f9","epoch":2,"opened":{"boot_id":"5f0e0c4e-0000-4000-8000-000000000001","boottime":5000.0,"wall":1790000000.0},"decision":{"want":"drain","mode":"act","rule":"gpu-lost","summary":"GPU3 fell off the bus","object":"GPU3","label":"Xid79 off bus","findings":["gpu-lost gpu=3"],"remediate":["gpu-reset"],"hand_over":"hardware","resume":"by-hand","also":[]},"attempt":0,"hand_over":""},"quarantine":{"incident":"k3f9","epoch":2,"reason":"hd:k3f9.2 GPU3 Xid79 off bus; rule gpu-lost","since":{"boot_id":"5f0e0c4e-0000-4000-8000-000000000001","boottime":5000.0,"wall":1790000000.0},"claimed_by":"root","claimed_at":"2026-09-21T14:13:20","owner":"hpcdoctor"},"hold":{"who":"uid 0 (root)","why":"a technician is on the way","since":{"boot_id":"5f0e0c4e-0000-4000-8000-000000000001","boottime":5000.0,"wall":1790000000.0},"until":{"boot_id":"5f0e0c4e-0000-4000-8000-000000000001","boottime":91400.0,"wall":1790086400.0}},"decision":{"want":"drain","mode":"act","rule":"gpu-lost","summary":"GPU3 fell off the bus","object":"GPU3","label":"Xid79 off bus","findings":["gpu-lost gpu=3"],"remediate":["gpu-reset"],"hand_over":"hardware","resume":"by-hand","also":[]},"pending":null,"retry_at":null,"look_at":null,"failures":0,"probation_until":null,"verify_until":null,"releasing":null,"looks":0,"would_have_drained":0,"shadowed":[]}' AS BLOB));
INSERT INTO "document" VALUES('findings',CAST('[{"check":"gpu-lost","subject":{"gpu":"3"},"verdict":"critical","cause":"node","summary":"GPU3 fell off the bus","since":{"boot_id":"5f0e0c4e-0000-4000-8000-000000000001","boottime":5000.0,"wall":1790000000.0},"object":"GPU3","label":"Xid79 off bus","count":1,"last_seen":null,"evidence":[{"taken":{"boot_id":"5f0e0c4e-0000-4000-8000-000000000001","boottime":5000.0,"wall":1790000000.0},"text":"NVRM: Xid (PCI:0000:3b:00): 79","values":{"xid":79}}],"why":"","next_steps":["hpcdoctor explain gpu-lost"],"caused_by":null,"acknowledged_by":null}]' AS BLOB));
INSERT INTO "document" VALUES('positions',CAST('{"kernel_log":"boot:9"}' AS BLOB));
INSERT INTO "document" VALUES('history',X'9301A090');
CREATE TABLE spool (
    sequence INTEGER PRIMARY KEY,
    type TEXT NOT NULL,
    droppable INTEGER NOT NULL,
    published INTEGER NOT NULL,
    boot_id TEXT NOT NULL,
    boottime REAL NOT NULL,
    wall REAL NOT NULL,
    payload BLOB NOT NULL
) STRICT;
INSERT INTO "spool" VALUES(1,'hpcdoctor.log.gap',1,0,'5f0e0c4e-0000-4000-8000-000000000001',5000.0,1790000000.0,CAST('{"specversion":"1.0","id":"22e9615098f523ed-1","source":"/hpcdoctor/lab/n017","type":"hpcdoctor.log.gap","time":"2026-09-21T14:13:20.000Z","datacontenttype":"application/json","dataschema":"urn:hpcdoctor:event:hpcdoctor.log.gap:1","stream":"22e9615098f523ed","sequence":"0000000000000000001","data":{"lost":3,"because":"a test"}}' AS BLOB));
INSERT INTO "spool" VALUES(2,'hpcdoctor.log.gap',1,0,'5f0e0c4e-0000-4000-8000-000000000001',5000.0,1790000000.0,CAST('{"specversion":"1.0","id":"22e9615098f523ed-2","source":"/hpcdoctor/lab/n017","type":"hpcdoctor.log.gap","time":"2026-09-21T14:13:20.000Z","datacontenttype":"application/json","dataschema":"urn:hpcdoctor:event:hpcdoctor.log.gap:1","stream":"22e9615098f523ed","sequence":"0000000000000000002","data":{"lost":3,"because":"a test"}}' AS BLOB));
CREATE TABLE spool_head (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    stream TEXT NOT NULL,
    next_sequence INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    receipt_through INTEGER NOT NULL,
    lost_total INTEGER NOT NULL
) STRICT;
INSERT INTO "spool_head" VALUES(1,'22e9615098f523ed',3,914,0,0);
CREATE INDEX spool_unpublished ON spool (sequence) WHERE published = 0;
COMMIT;

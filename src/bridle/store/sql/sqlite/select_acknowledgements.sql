-- Every worker, with the first acknowledgement that covers a generation; none where it has not come.
SELECT w.worker, w.pid, w.host, w.since, (SELECT min(a.at) FROM acknowledgements a WHERE a.worker = w.worker AND a.generation >= ?) FROM workers w ORDER BY w.since, w.worker

-- Whether the journal of a run says "write".
SELECT EXISTS (SELECT 1 FROM events WHERE run_no = ? AND instr(body, X'22777269746522') > 0)

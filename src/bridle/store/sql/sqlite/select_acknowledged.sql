-- Every worker that has ever acknowledged a change, and was not forgotten since.
SELECT worker FROM acknowledgements

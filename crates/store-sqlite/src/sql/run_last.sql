SELECT max(ifnull((SELECT max(id) FROM runs), 0), ifnull((SELECT max(run) FROM forgotten), 0))

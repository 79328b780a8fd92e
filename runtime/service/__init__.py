"""The faces of a cell: gRPC servicers, the HTTP app, and the processes behind them."""

package api

import (
	"context"

	"dxd/api/apitype"
	"dxd/record"
)

// check reads a payload now. It answers when all of it was read.
func (a *API) check(ctx context.Context, in *idInput) (apitype.Inspection, error) {
	id, err := record.ParseTransferID(in.ID)
	if err != nil {
		return apitype.Inspection{}, err
	}
	n, damage, err := a.Exchange.Inspect(ctx, id)
	if err != nil {
		return apitype.Inspection{}, err
	}
	i := apitype.Inspection{ID: id, Kept: n >= 0, Bytes: max(n, 0)}
	if damage != nil {
		i.Damage = damage.Error()
	}
	return i, nil
}
